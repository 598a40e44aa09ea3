"""Ends a process whose model does not come back, even when it is stuck in C code in the only busy thread.

A thread sleeps for as long as a batch may take and then looks. It is woken by the first batch after a pause
and not by every one: when a later batch runs by then, it sleeps for what is left.

Code that never gives up the interpreter would keep that thread from waking, too. So while a batch runs
there is a timer of processor time besides, which the thread pushes on; SIGPROF nobody handles, and the kernel
ends the process by it.
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


class Watchdog(Generic[Item]):
    """``overdue`` is called in a thread of its own with what has run for ``seconds``; then the process exits.

    Only one batch runs at a time.
    """

    def __init__(self, seconds: float, overdue: Callable[[Sequence[Item]], None], exit_code: int) -> None:
        self._seconds = seconds
        self._overdue = overdue
        self._exit_code = exit_code
        self._items: Sequence[Item] = ()
        self._began = 0.0
        self._is_awake = False
        self._wake = threading.Semaphore(0)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def begin(self, items: Sequence[Item]) -> None:
        self._items = items
        # Before it is asked who is awake: the thread looks in the opposite order, so one of the two sees it.
        self._began = time.monotonic()
        if not self._is_awake:
            self._is_awake = True
            self._limit_processor_time()
            self._wake.release()

    def end(self) -> None:
        self._began = 0.0
        self._items = ()

    def _limit_processor_time(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, self._seconds * _PROCESSOR_SHARE + _PROCESSOR_SECONDS)

    def _watch(self) -> None:
        while True:
            self._wake.acquire()
            while (left := self._left()) is not None:
                self._limit_processor_time()
                time.sleep(left)

    def _left(self) -> float | None:
        """Until the batch under way is overdue: then there is no return. None when none runs."""
        began, items = self._began, self._items
        if not began:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self._is_awake = False
            if not self._began:
                return None
            # One began in this moment; it may or may not have seen that nobody is awake.
            self._is_awake = True
            return self._seconds
        left = began + self._seconds - time.monotonic()
        if left > 0 or began != self._began:
            return max(left, 0.001)
        try:
            self._overdue(items)
        finally:
            os._exit(self._exit_code)
