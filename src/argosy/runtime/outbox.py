"""What the control plane has still to hear: ends until it acknowledges them, the rest while there is room."""

from __future__ import annotations

import time
from collections import deque

from argosy.runtime.frames import Inventory, Replaced, frame
from argosy.runtime.loop import Loop, Stream, Timer
from argosy.runtime.protocol import AttemptId

Key = tuple[AttemptId, int]

_KEPT = 10_000
_MOST_BACKLOG = 16 * 2**20
# A start, and telemetry even longer, may wait for company: each message wakes the control plane.
_START_SECONDS = 0.005
_TELEMETRY_SECONDS = 0.05


class Outbox:
    """One connection at a time; without one, events wait in two rings and the oldest are dropped.

    Telemetry (metrics, progress, samples) has its own ring: however much of it comes, the starts and the
    reports that matter stay.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._stream: Stream | None = None
        self._ended: dict[Key, bytes] = {}
        self._telemetry: deque[bytes] = deque(maxlen=_KEPT)
        self._others: deque[bytes] = deque(maxlen=_KEPT)
        self._ready = bytearray()
        self._due: Timer | None = None

    @property
    def connected(self) -> bool:
        return self._stream is not None

    def ended_keys(self) -> tuple[Key, ...]:
        return tuple(self._ended)

    def hear_out(self) -> None:
        """Take in what the present control plane has sent, before another one takes its place."""
        if self._stream is not None:
            self._stream.drain()

    def connect(self, stream: Stream, inventory: Inventory, addresses: list[bytes]) -> None:
        """Serve a new control plane: what lives, what it missed, what ended."""
        if self._stream is not None:
            self._stream.send(frame(Replaced()))
            self._stream.close()
        self._stream = stream
        self._ready.clear()
        stream.send(frame(inventory))
        for waiting in (self._others, self._telemetry):
            stream.send(b"".join(waiting))
            waiting.clear()
        stream.send(b"".join(addresses))
        stream.send(b"".join(self._ended.values()))

    def disconnect(self, stream: Stream) -> bool:
        """Whether it was the one being served."""
        if stream is not self._stream:
            return False
        self._stream = None
        self._ready.clear()
        return True

    def telemetry(self, data: bytes) -> None:
        if self._stream is None:
            self._telemetry.append(data)
        elif self._stream.backlog < _MOST_BACKLOG:
            self._add(data, _TELEMETRY_SECONDS)

    def started(self, data: bytes) -> None:
        if self._stream is None:
            self._others.append(data)
        else:
            self._add(data, _START_SECONDS)

    def event(self, data: bytes) -> None:
        if self._stream is None:
            self._others.append(data)
        else:
            self._add(data, 0.0)

    def ended(self, key: Key, data: bytes) -> None:
        self._ended[key] = data
        if self._stream is not None:
            self._add(data, 0.0)

    def acknowledge(self, key: Key) -> None:
        self._ended.pop(key, None)

    def _add(self, data: bytes, seconds: float) -> None:
        self._ready += data
        due = time.monotonic() + seconds
        if self._due is None or due < self._due.due:
            if self._due is not None:
                self._due.cancel()
            self._due = self._loop.call_later(seconds, self.flush)

    def flush(self) -> None:
        """Send what has been held back."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._ready and self._stream is not None:
            self._stream.send(bytes(self._ready))
            self._ready.clear()

    def say_last_words(self, seconds: float) -> None:
        """Give the control plane a moment to take what is left, and hang up."""
        self.flush()
        if self._stream is None:
            return
        deadline = time.monotonic() + seconds
        while self._stream is not None and self._stream.backlog and time.monotonic() < deadline:
            self._loop.call_later(seconds, lambda: None)
            self._loop.run_once()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
