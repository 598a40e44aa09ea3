"""A rank's connection to the launcher: hears the work, reports, has the last word."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from argosy.runtime import linux
from argosy.runtime.frames import Deframer, Finished, Go, Hello, Said, decode_go, encode, frame

_DROPPABLE = frozenset({"metrics", "progress"})
_REPORT_BACKLOG = 1 << 20


class Channel:
    """The rank's socket to the launcher. Reports never wait; the last word does."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._pending = bytearray()

    def say_hello(self) -> None:
        pid = os.getpid()
        resident, shared = linux.resident_and_shared(pid)
        self._socket.sendall(frame(Hello(pid, linux.start_ticks(pid) or 0, resident, shared)))

    def has_work(self) -> bool:
        """Whether there is something to hear already."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def wait_for_work(self) -> Go | None:
        """The work, or None when the launcher has no use for this process any more."""
        deframer = Deframer()
        while data := self._socket.recv(1 << 16):
            for body in deframer.feed(data):
                return decode_go(body)
        return None

    def report(self, kind: str, body: Mapping[str, Any]) -> None:
        """Send, or keep what must not be lost, or drop the rest. Never raises."""
        # A process forked by the step shares this socket, but not the rank.
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(Exception), self._lock:
            if not self._send_pending() and (kind in _DROPPABLE or len(self._pending) > _REPORT_BACKLOG):
                return
            self._pending += frame(Said(kind, msgspec.Raw(encode(body)), time.time()))
            self._send_pending()

    def _send_pending(self) -> bool:
        while self._pending:
            try:
                sent = self._socket.send(self._pending, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return False
            except OSError:
                self._pending.clear()
                return True
            del self._pending[:sent]
        return True

    def finish(self, finished: Finished) -> None:
        """The last word. Waits until the launcher takes it."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            data = self._pending + frame(finished)
            self._pending = bytearray()
            with contextlib.suppress(OSError):
                while data:
                    try:
                        del data[: self._socket.send(data, socket.MSG_NOSIGNAL)]
                    except BlockingIOError:
                        select.select([], [self._socket], [])
