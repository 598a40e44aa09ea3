"""The sub-requests of one large request: pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from argosy.serve.router.splitting import INSTANCES

SHARD_KEY = b"x-argosy-shard-key"
# A sub-request of fewer than ``rows`` instances, where they are large.
PART_BYTES = 4 * 2**20
_POSITION = re.compile(r"\binstances\[(\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tiles of ``instances[image]`` from number ``start``, row-major over ``grid`` (rows, columns)."""

    image: int
    grid: tuple[int, int]
    start: int


@dataclass(frozen=True, slots=True)
class Part:
    """``count`` instances from ``first``, or tiles of one; ``body`` asks for them."""

    first: int
    count: int
    body: bytes
    tiles: Tiles | None = None

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def what(self) -> str:
        """Its place in the caller's request, as errors name it."""
        if self.count == 1:
            return self.place(0)
        if self.tiles is None:
            return f"{self.place(0)} to {self.place(self.count - 1)}"
        return f"{self._tile(0)} to {self._tile(self.count - 1)} of instances[{self.tiles.image}]"

    def place(self, position: int) -> str:
        """The caller's name of what the sub-request calls ``instances[position]``."""
        if self.tiles is None:
            return f"instances[{self.first + position}]"
        return f"{self._tile(position)} of instances[{self.tiles.image}]"

    def translated(self, text: str) -> str:
        """A shard's message, with the caller's positions."""
        return _POSITION.sub(lambda found: self.place(int(found[1])), text)

    def _tile(self, position: int) -> str:
        assert self.tiles is not None
        row, column = divmod(self.tiles.start + position, self.tiles.grid[1])
        return f"tile [{row}, {column}]"


def shard_key(body: bytes) -> str:
    """What names the shard of a sub-request: the same for the same bytes, always and everywhere."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


class Cutter:
    """Puts instances together to parts of ``rows``, or of fewer when they hold more than ``most`` bytes."""

    def __init__(self, rows: int, most: int = PART_BYTES) -> None:
        self._rows = rows
        self._most = most
        self._kept: list[bytes] = []
        self._size = 0
        self._first = 0

    def add(self, instance: bytes) -> list[Run]:
        """The runs that are full now."""
        full = []
        if self._kept and self._size + len(instance) > self._most:
            full += self.rest()
        self._kept.append(instance)
        self._size += len(instance)
        if len(self._kept) == self._rows:
            full += self.rest()
        return full

    def rest(self) -> list[Run]:
        """What is kept yet."""
        if not self._kept:
            return []
        run = Run(self._first, len(self._kept), b",".join(self._kept))
        self._first += len(self._kept)
        self._kept, self._size = [], 0
        return [run]


@dataclass(frozen=True, slots=True)
class Run:
    """Instances in a row, as the caller wrote them, with commas between.

    Joined: a million small objects would take far more memory than they say.
    """

    first: int
    count: int
    text: bytes

    @property
    def size(self) -> int:
        """The memory it takes, nearly."""
        return len(self.text) + 256

    def part(self, prefix: bytes) -> Part:
        return Part(self.first, self.count, b"".join((prefix, self.text, b"]}")))


def prefix(others: Mapping[str, bytes]) -> bytes:
    """What every sub-request begins with: the request's other keys, as they were."""
    pairs = (orjson.dumps(key) + b":" + value + b"," for key, value in others.items())
    return b"{" + b"".join(pairs) + f'"{INSTANCES}":['.encode()
