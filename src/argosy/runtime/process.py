"""A forked child as the launcher sees it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from argosy.runtime.frames import Finished, FromProcess, Hello, Said, decode_from_process
from argosy.runtime.loop import Loop, Stream


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. ``peak`` is the most it was resident, in bytes."""

    code: int | None
    signal: int | None
    peak: int

    @classmethod
    def of(cls, status: int, maximum_resident: int) -> Exit:
        code = os.waitstatus_to_exitcode(status)
        return cls(code if code >= 0 else None, -code if code < 0 else None, maximum_resident * 1024)


class User(Protocol):
    """Who a process works for: one rank of an attempt."""

    def heard(self, message: Said | Finished) -> None: ...
    def exited(self, exit: Exit) -> None: ...


class Process:
    """``pid`` is 0 until it has said hello. Without a ``user`` it is idle, and the pool's."""

    __slots__ = ("_on_hello", "_on_idle_close", "hello", "pid", "stream", "user")

    def __init__(
        self,
        loop: Loop,
        connected: socket.socket,
        on_hello: Callable[[Process], None],
        on_idle_close: Callable[[Process], None],
    ) -> None:
        self.pid = 0
        self.hello = Hello(0, 0, 0, 0)
        self.user: User | None = None
        self._on_hello = on_hello
        self._on_idle_close = on_idle_close
        self.stream = Stream(loop, connected, self._heard, self._closed)

    @property
    def identity(self) -> tuple[int, int]:
        """(pid, start time in clock ticks)."""
        return self.pid, self.hello.start_ticks

    @property
    def inherited(self) -> int:
        """Bytes it shared with its template when it was forked."""
        return max(0, self.hello.resident - self.hello.shared)

    def _heard(self, body: bytes) -> None:
        try:
            message: FromProcess = decode_from_process(body)
        except msgspec.MsgspecError:
            return  # a step that writes to descriptors that are not its own has only itself to blame
        if isinstance(message, Hello):
            if self.pid == 0:
                self.pid, self.hello = message.pid, message
                self._on_hello(self)
        elif self.user is not None:
            self.user.heard(message)

    def _closed(self) -> None:
        if self.user is None:
            self._on_idle_close(self)

    def signal_all(self, number: int) -> None:
        """Signal the process and those of its group. It has not been waited for, so its pid is its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
