"""Ends a process whose model does not come back, even when it is stuck in C code in the only busy thread.

A timer of the kernel sends SIGALRM, which every thread blocks and one waits for. The timer is set once and
not for every batch: when it rings while a later batch runs, it is set again for what is left.

Code that never gives up the interpreter would keep that thread from waking, too. So while a batch runs
there is a second timer, of processor time, that the waiting thread pushes on; SIGPROF nobody handles, and the
kernel ends the process by it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")

# More than all threads of a replica can use in the time that the waiting thread is at most late.
_PROCESSOR_SHARE = 4.0
_PROCESSOR_SECONDS = 5.0


def block_alarms() -> None:
    """To be called before any thread is started: threads inherit what is blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})


class Watchdog(Generic[Item]):
    """``overdue`` is called in a thread of its own with what has run for ``seconds``; then the process exits.

    Only one batch runs at a time. Needs :func:`block_alarms`.
    """

    def __init__(self, seconds: float, overdue: Callable[[Sequence[Item]], None], exit_code: int) -> None:
        self._seconds = seconds
        self._overdue = overdue
        self._exit_code = exit_code
        self._items: Sequence[Item] = ()
        self._began = 0.0
        self._is_set = False
        threading.Thread(target=self._wait, name="watchdog", daemon=True).start()

    def begin(self, items: Sequence[Item]) -> None:
        self._items = items
        # Before the timer is looked at: the thread looks in the opposite order, so one of the two sets it.
        self._began = time.monotonic()
        if not self._is_set:
            self._set(self._seconds)

    def end(self) -> None:
        self._began = 0.0
        self._items = ()

    def _set(self, seconds: float) -> None:
        self._is_set = True
        signal.setitimer(signal.ITIMER_REAL, seconds)
        signal.setitimer(signal.ITIMER_PROF, self._seconds * _PROCESSOR_SHARE + _PROCESSOR_SECONDS)

    def _wait(self) -> None:
        while True:
            signal.sigwait({signal.SIGALRM})
            self._is_set = False
            began, items = self._began, self._items
            if not began:
                signal.setitimer(signal.ITIMER_PROF, 0)
                if self._began:
                    self._set(self._seconds)
                continue
            left = began + self._seconds - time.monotonic()
            if left > 0 or began != self._began:
                self._set(max(left, 0.001))
                continue
            try:
                self._overdue(items)
            finally:
                os._exit(self._exit_code)
