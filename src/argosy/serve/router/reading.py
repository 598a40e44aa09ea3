"""From the bytes of a large request to its parts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from argosy.errors import InvalidInput, TooLarge
from argosy.flow.service_options import Sharding
from argosy.serve.http.server import Request
from argosy.serve.router import tiles
from argosy.serve.router.failures import CallerTooSlow
from argosy.serve.router.parts import Cutter, Part, Run, prefix
from argosy.serve.router.splitting import SplitLimits, Splitter

# A request up to this size may have its other keys in any place; all requests together hold this at most.
HOLD_BYTES = 8 * 2**20
HOLD_BYTES_IN_ALL = 64 * 2**20
# Looked at together: of the smallest instances, these bytes make thirty thousand objects.
FEED_BYTES = 64 * 2**10
# How long a request may be waited for: at first, and the more the more of it has come.
PATIENCE_SECONDS = 30.0
SLOWEST_BYTES_A_SECOND = 16 * 2**10


@dataclass
class Hold:
    """What all requests hold back together."""

    bytes: int = 0


def patience(received: int) -> float:
    """Seconds that a caller may have let the router wait in all, once so many bytes have come."""
    return PATIENCE_SECONDS + received / SLOWEST_BYTES_A_SECOND


class Reader:
    """Gives the parts of a request, in order. It reads no more of it while nobody asks for the next part.

    The keys beside ``instances`` are sent with every part, so parts are held back until the request has
    ended or is larger than :data:`HOLD_BYTES`; keys that come later than that are refused.
    """

    def __init__(self, request: Request, sharding: Sharding, hold: Hold, *, merges: bool) -> None:
        self.labels = False
        self._request = request
        self._limit = sharding.body_bytes
        self._merges = merges
        self._splitter = Splitter(self._split_limits())
        self._cutter = Cutter(sharding.rows)
        self._hold = hold
        self._held: list[Run] = []
        self._held_bytes = 0
        self._is_fixed = False
        self._prefix = b""
        self._sent_keys: frozenset[str] = frozenset()

    def columns(self) -> dict[str, Any] | None:
        """The request, when it has ``inputs`` in the place of ``instances``."""
        if self._splitter.has_instances or "inputs" not in self._splitter.others:
            return None
        return {key: orjson.loads(raw) for key, raw in self._splitter.others.items()}

    async def parts(self) -> AsyncGenerator[Part, None]:
        """Raises InvalidInput or TooLarge, and whatever reading raises when the caller leaves."""
        async with contextlib.aclosing(self._runs()) as runs:
            async for run in runs:
                async with contextlib.aclosing(self._parts_of(run)) as parts:
                    async for part in parts:
                        yield part

    async def _runs(self) -> AsyncGenerator[Run, None]:
        try:
            async for chunk in self._chunks():
                for at in range(0, len(chunk), FEED_BYTES):
                    for instance in self._splitter.feed(chunk[at : at + FEED_BYTES]):
                        for run in self._cutter.add(instance):
                            for ready in self._ready(run):
                                yield ready
                    self._check_keys()
            self._splitter.finish()
            self._check_instances()
            for run in (*self._held_back(), *self._cutter.rest()):
                yield run
        finally:
            self._hold.bytes -= self._held_bytes

    async def _chunks(self) -> AsyncIterator[bytes]:
        announced = self._request.header(b"content-length")
        received = int(announced) if announced is not None and announced.isdigit() else 0
        self._check_size(received)
        received, waited = 0, 0.0
        chunks, clock = aiter(self._request.chunks()), asyncio.get_running_loop().time
        while True:
            started = clock()
            try:
                async with asyncio.timeout(patience(received) - waited):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                seconds = waited + clock() - started
                raise CallerTooSlow(
                    f"the request stopped at byte {received}, after {seconds:.0f} s of waiting",
                    hint=f"send at least {SLOWEST_BYTES_A_SECOND} bytes a second",
                ) from None
            waited += clock() - started
            received += len(chunk)
            self._check_size(received)
            yield chunk

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(
                f"the request body holds {size} bytes or more, at most {self._limit} are taken",
                hint="send the instances in several requests",
            )

    def _check_instances(self) -> None:
        if self._splitter.has_instances or "inputs" in self._splitter.others:
            return
        received = ", ".join(repr(key) for key in list(self._splitter.others)[:5]) or "no keys"
        raise InvalidInput(
            f"the request has no 'instances' (it has {received})",
            hint='send {"instances": [{"b64": "<base64 of an image file>"}]}',
        )

    def _check_keys(self) -> None:
        late = self._splitter.others.keys() - self._sent_keys
        if self._is_fixed and late:
            raise InvalidInput(
                f"{min(late)[:80]!r} comes after 'instances', of which the first were predicted without it",
                hint="in a large request, put every other key before 'instances'",
            )

    def _ready(self, run: Run) -> Sequence[Run]:
        """What may be sent now that this run is there."""
        if self._is_fixed:
            return (run,)
        self._held.append(run)
        self._held_bytes += run.size
        self._hold.bytes += run.size
        if self._held_bytes <= HOLD_BYTES and self._hold.bytes <= HOLD_BYTES_IN_ALL:
            return ()
        return self._held_back()

    def _held_back(self) -> Sequence[Run]:
        """What was held, to be sent with the keys that are known now."""
        if not self._is_fixed:
            self._is_fixed = True
            others = dict(self._splitter.others)
            self._sent_keys = frozenset(others)
            if self._merges:
                self.labels = _take_labels(others)
            self._prefix = prefix(others)
        held, self._held = self._held, []
        self._hold.bytes -= self._held_bytes
        self._held_bytes = 0
        return held

    def _split_limits(self) -> SplitLimits:
        return SplitLimits()

    async def _parts_of(self, run: Run) -> AsyncGenerator[Part, None]:
        yield run.part(self._prefix)


class TileReader(Reader):
    """Each instance is one image; its parts are tiles. ``decoding`` says how many images of all
    requests are decoded at once."""

    def __init__(
        self, request: Request, sharding: Sharding, hold: Hold, decoding: asyncio.Semaphore, channels: int
    ) -> None:
        super().__init__(request, sharding, hold, merges=False)
        assert sharding.tile is not None
        self._tile = sharding.tile
        self._rows = sharding.rows
        self._decoding = decoding
        self._channels = channels
        self._cutter = Cutter(1)

    def _split_limits(self) -> SplitLimits:
        return SplitLimits(instance_bytes=tiles.INSTANCE_BYTES)

    async def _parts_of(self, run: Run) -> AsyncGenerator[Part, None]:
        async with self._decoding:
            pixels = await asyncio.to_thread(tiles.decode, run.text, run.first, self._channels)
            for part in tiles.parts(pixels, run.first, self._tile, self._rows, self._prefix):
                yield part


def _take_labels(others: dict[str, bytes]) -> bool:
    """Whether the request's ``parameters`` ask for labels. That is not passed on: they are made here."""
    try:
        parameters = msgspec.json.decode(others.get("parameters", b"{}"), type=dict[str, Any])
    except msgspec.MsgspecError:
        return False
    if "labels" not in parameters:
        return False
    asked = parameters.pop("labels")
    del others["parameters"]
    if parameters:
        others["parameters"] = orjson.dumps(parameters)
    return bool(asked)
