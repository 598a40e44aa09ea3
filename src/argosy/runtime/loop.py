"""The launcher's event loop: descriptors, timers and signals in one thread."""

from __future__ import annotations

import heapq
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable
from functools import partial

from argosy.errors import ArgosyError
from argosy.runtime.frames import Deframer

_CHUNK = 1 << 16
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Timer:
    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Loop:
    """Waits for descriptors and timers. ``first`` is served before the others when several are ready."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._first = -1

    def watch(self, descriptor: int, events: int, on_ready: Callable[[int], None]) -> None:
        self._selector.register(descriptor, events, on_ready)

    def watch_first(self, descriptor: int, on_ready: Callable[[int], None]) -> None:
        self._first = descriptor
        self.watch(descriptor, READ, on_ready)

    def change(self, descriptor: int, events: int, on_ready: Callable[[int], None]) -> None:
        self._selector.modify(descriptor, events, on_ready)

    def unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, action)
        heapq.heappush(self._timers, timer)
        return timer

    def run_once(self) -> None:
        """Wait for something to happen and serve it."""
        ready = self._selector.select(self._wait_seconds())
        if len(ready) > 1:
            ready.sort(key=lambda item: item[0].fd != self._first)
        for key, mask in ready:
            # An earlier action may have closed this one, or another may have its number by now.
            if self._selector.get_map().get(key.fd) is key:
                _guarded(partial(key.data, mask))
        self._run_timers()

    def _wait_seconds(self) -> float | None:
        while self._timers and self._timers[0].action is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].due - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            action = heapq.heappop(self._timers).action
            if action is not None:
                _guarded(action)


def _guarded(action: Callable[[], None]) -> None:
    """A fault in one action must not end the launcher, and with it every attempt."""
    try:
        action()
    except Exception:
        sys.excepthook(*sys.exc_info())


class Stream:
    """Frames over a connected socket, never blocking.

    ``on_close`` is called once, when the other end goes or sends what is no frame.
    """

    __slots__ = ("_deframer", "_loop", "_on_close", "_on_frame", "_pending", "descriptor", "socket")

    def __init__(
        self,
        loop: Loop,
        connected: socket.socket,
        on_frame: Callable[[bytes], None],
        on_close: Callable[[], None],
    ) -> None:
        connected.setblocking(False)
        self.socket = connected
        self.descriptor = connected.fileno()
        self._loop = loop
        self._on_frame = on_frame
        self._on_close = on_close
        self._deframer = Deframer()
        self._pending = bytearray()
        loop.watch(self.descriptor, READ, self._ready)

    @property
    def backlog(self) -> int:
        """Bytes the other end has not taken yet."""
        return len(self._pending)

    @property
    def closed(self) -> bool:
        return self.descriptor < 0

    def send(self, data: bytes) -> None:
        if self.closed:
            return
        if self._pending:
            self._pending += data
            return
        try:
            sent = self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return  # the other end is gone: reading will say so
        if sent < len(data):
            self._pending += memoryview(data)[sent:]
            self._loop.change(self.descriptor, READ | WRITE, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._send_pending()
        if mask & READ:
            self._receive()

    def _send_pending(self) -> None:
        try:
            sent = self.socket.send(self._pending)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._pending.clear()
        else:
            del self._pending[:sent]
        if not self._pending:
            self._loop.change(self.descriptor, READ, self._ready)

    def _receive(self) -> bool:
        """Serve one chunk. False when there is nothing (left) to read now."""
        try:
            data = self.socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._lost()
            return False
        try:
            frames = self._deframer.feed(data)
        except ArgosyError:
            self._lost()
            return False
        for frame in frames:
            self._on_frame(frame)
            if self.closed:
                return False
        return True

    def drain(self) -> None:
        """Serve everything that has arrived."""
        while not self.closed and self._receive():
            pass

    def _lost(self) -> None:
        self.close()
        self._on_close()

    def close(self) -> None:
        """Close without a word to ``on_close``."""
        if not self.closed:
            self._loop.unwatch(self.descriptor)
            self.descriptor = -1
            self.socket.close()


def wakeup_pair() -> tuple[int, int]:
    """(read, write) ends for signal.set_wakeup_fd."""
    return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
