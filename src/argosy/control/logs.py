"""Reads what attempts wrote: whole, and as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from argosy.api.views import LogLine
from argosy.engine.specs import log_pattern
from argosy.flow.graph import NodeId
from argosy.home import Home
from argosy.metadata.records import AttemptRecord

# Files have no news service that works on every disk; this is how long a line may take to be seen.
_POLL_SECONDS = 0.1
_CHUNK = 256 * 1024


@dataclass(slots=True)
class _Tail:
    """One rank's file and how far it has been read; ``rest`` is a line that has not ended yet."""

    path: Path
    node: str
    attempt: str
    rank: int
    offset: int = 0
    rest: bytes = b""

    def read(self, *, to_the_end: bool) -> list[LogLine]:
        """New whole lines; at the end also one without a line end. A file that is not there has none."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return []
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        if to_the_end and not data and self.rest:
            lines.append(self.rest)
            self.rest = b""
        return [
            LogLine(self.node, self.attempt, self.rank, line.decode(errors="replace").rstrip("\r"))
            for line in lines
        ]


class LogReader:
    """``attempts`` gives the attempts to read, as they are now; ``is_over`` whether more can come."""

    def __init__(self, home: Home, attempts: Callable[[], list[AttemptRecord]], is_over: Callable[[], bool]):
        self._home = home
        self._attempts = attempts
        self._is_over = is_over
        self._tails: dict[tuple[str, int], _Tail] = {}

    async def lines(self, follow: bool) -> AsyncIterator[list[LogLine]]:
        """Batches of lines, each (attempt, rank) from its first line on."""
        while True:
            # Asked before reading: what was written before the end is then read after it.
            over = not follow or self._is_over()
            self._find_tails()
            batch = self._read(to_the_end=over)
            if batch:
                yield batch
                await asyncio.sleep(0)
            elif over:
                return
            else:
                await asyncio.sleep(_POLL_SECONDS)

    def _read(self, *, to_the_end: bool) -> list[LogLine]:
        return [line for tail in self._tails.values() for line in tail.read(to_the_end=to_the_end)]

    def _find_tails(self) -> None:
        for record in self._attempts():
            for rank in range(record.workers):
                if (record.attempt, rank) not in self._tails:
                    pattern = log_pattern(self._home, record.run, NodeId(record.node), record.number)
                    self._tails[record.attempt, rank] = _Tail(
                        Path(pattern.format(rank=rank)), record.node, record.attempt, rank
                    )
