"""Carries out what :mod:`argosy.serve.model_server.batching` decides: in the loop, or in one worker thread.

A batch that is quick is run in the loop's own thread: handing it over and back would cost as much as running
it. Everything that was read in one turn of the loop arrives together, and between two batches, or two pieces
of one, the loop has a turn to read, write and answer health checks.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from argosy.serve.http.failures import Overloaded
from argosy.serve.model_server.batching import (
    Arrived,
    BatchEvent,
    BatchLimits,
    BatchState,
    Finished,
    Looked,
    Refuse,
    Run,
    Wait,
    Waiting,
    Withdrawn,
    decide,
    refusal,
)

# A turn of the loop may be long when thousands of callers are refused in it, and each refusal takes its time.
# So that answering does not drown in refusing, it has its share after this many, wherever the turn is: the
# next batch runs, or the loop waits a little for the worker thread, which has to share the interpreter.
REFUSALS_A_TURN = 32
GIVE_WAY_SECONDS = 0.005

Item = TypeVar("Item")
Result = TypeVar("Result")
# Yields between pieces of a batch; returns what each item's answer is, an exception being one.
Running = Generator[None, None, Sequence[Result | Exception]]


class Observer(Protocol):
    """Hears of batches; everything is called often, by the loop's thread."""

    def batch(self, rows: int, waits: Sequence[float]) -> None: ...


class _Unobserved:
    def batch(self, rows: int, waits: Sequence[float]) -> None:
        return None


class _Entry(Generic[Item, Result]):
    __slots__ = ("came", "item", "rows", "settle")

    def __init__(
        self, item: Item, rows: int, came: float, settle: Callable[[Result | Exception], None]
    ) -> None:
        self.item = item
        self.rows = rows
        self.came = came
        self.settle = settle


class Batcher(Generic[Item, Result]):
    """``run`` answers a batch item by item, in order. One batch runs at a time.

    ``is_quick`` says whether a batch may be run in the loop's thread; ``coming`` how many requests are on
    their way. All methods belong to the loop's thread.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Running[Result]],
        limits: BatchLimits,
        *,
        is_quick: Callable[[Sequence[Item]], bool] = lambda items: False,
        coming: Callable[[], int] = lambda: 0,
        observer: Observer | None = None,
    ) -> None:
        self._run = run
        self._state = BatchState(limits)
        self._is_quick = is_quick
        self._coming = coming
        self._observer = observer or _Unobserved()
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._entries: dict[int, _Entry[Item, Result]] = {}
        self._arrivals: list[Waiting] = []
        self._arriving_bytes = 0
        self._refused = 0
        self._is_done = False
        self._turn_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._pieces: tuple[tuple[int, ...], Running[Result]] | None = None
        self._thread: threading.Thread | None = None
        self._worked = threading.Event()
        self._worked.set()
        self._results: deque[tuple[tuple[int, ...], Sequence[Result | Exception]]] = deque()
        self._work: queue.SimpleQueue[tuple[tuple[int, ...], list[Item]] | None] = queue.SimpleQueue()

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return len(self._state.queue) + len(self._arrivals)

    def check_room(self, size: int) -> None:
        """Raises Overloaded when there is no room for a request of this size."""
        reason = self._refusal(size)
        if not reason:
            return
        self._refused += 1
        if self._refused >= REFUSALS_A_TURN:
            self._give_way()
            if not self._refusal(size):
                return
        raise Overloaded(reason)

    def _give_way(self) -> None:
        self._refused = 0
        if self._pieces is not None:
            self._step()
        elif self._state.running and not self._is_done:
            self._worked.wait(GIVE_WAY_SECONDS)
            self._collect()
        if self._is_done or not self._state.running:
            self._turn()

    def _refusal(self, size: int) -> str:
        return refusal(self._state, size, len(self._arrivals), self._arriving_bytes)

    def submit(
        self,
        item: Item,
        rows: int,
        size: int,
        settle: Callable[[Result | Exception], None],
        key: Hashable = "",
    ) -> int:
        """Have ``settle`` called with the answer, later. The number withdraws it.

        Without :meth:`check_room` before, the answer may be Overloaded.
        """
        number = next(self._numbers)
        came = time.monotonic()
        self._entries[number] = _Entry(item, rows, came, settle)
        self._arrivals.append(Waiting(number, rows, size, came, key))
        self._arriving_bytes += size
        self._have_a_turn()
        return number

    async def ask(self, item: Item, rows: int, size: int, key: Hashable = "") -> Result:
        """The answer for ``item``. Raises Overloaded at once when the queue is full."""
        future: asyncio.Future[Result] = self._loop.create_future()

        def settle(result: Result | Exception) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.check_room(size)
        number = self.submit(item, rows, size, settle, key)
        try:
            return await future
        finally:
            self.withdraw(number)

    def withdraw(self, number: int) -> None:
        """Nobody waits for this request any more; nothing happens when it has its answer."""
        if self._entries.pop(number, None) is not None:
            self._feed(Withdrawn(number))

    def look(self) -> None:
        """Fewer requests are on their way than before."""
        if self._timer is not None:
            self._feed(Looked(time.monotonic(), self._coming()))

    def close(self) -> None:
        """Ends the thread after the batch under way."""
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()

    def _turn(self) -> None:
        """Once for everything that happened in the last turn of the loop."""
        self._turn_is_due = False
        self._refused = 0
        if self._arrivals:
            arrivals, self._arrivals, self._arriving_bytes = tuple(self._arrivals), [], 0
            self._feed(Arrived(arrivals, self._coming()))
        if self._is_done:
            self._is_done = False
            self._feed(Finished(time.monotonic(), self._coming()))

    def _feed(self, event: BatchEvent) -> None:
        self._state, commands = decide(self._state, event)
        for command in commands:
            match command:
                case Run(requests):
                    self._start(requests)
                case Refuse(request, reason):
                    self._settle(request, Overloaded(reason))
                case Wait(until):
                    self._wait(until)

    def _wait(self, until: float) -> None:
        if self._timer is None:
            # The loop counts in whole milliseconds: a timer that comes early would only be set again.
            delay = math.ceil(max(0.0, until - time.monotonic()) * 1000) / 1000
            self._timer = self._loop.call_later(delay, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._feed(Looked(time.monotonic(), self._coming()))

    def _start(self, requests: tuple[int, ...]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries = self._entries
        live = tuple([request for request in requests if request in entries])
        items = [entries[request].item for request in live]
        now = time.monotonic()
        self._observer.batch(
            sum([entries[request].rows for request in live]), [now - entries[one].came for one in live]
        )
        if self._is_quick(items):
            self._pieces = live, self._run(items)
            self._step()
        else:
            self._hand_over(live, items)

    def _step(self) -> None:
        """The next piece, here and now."""
        if self._pieces is None:
            return
        requests, running = self._pieces
        self._pieces = None
        try:
            next(running)
        except StopIteration as end:
            self._finish(requests, end.value)
        except Exception as error:
            self._finish(requests, [error] * len(requests))
        else:
            if any(request in self._entries for request in requests):
                self._pieces = requests, running
                self._loop.call_soon(self._step)
            else:
                self._finish((), ())

    def _finish(self, requests: tuple[int, ...], results: Sequence[Result | Exception]) -> None:
        for request, result in zip(requests, results, strict=True):
            self._settle(request, result)
        # What is read before the next turn belongs to the next batch.
        self._is_done = True
        self._have_a_turn()

    def _have_a_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _settle(self, request: int, result: Result | Exception) -> None:
        entry = self._entries.pop(request, None)
        if entry is not None:
            entry.settle(result)

    def _hand_over(self, requests: tuple[int, ...], items: list[Item]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)
            self._thread.start()
        self._worked.clear()
        self._work.put((requests, items))

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            requests, items = work
            results: Sequence[Result | Exception]
            try:
                results = self._whole(requests, items)
            except Exception as error:
                results = [error] * len(requests)
            self._results.append((requests, results))
            self._worked.set()
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        """What the worker thread has done."""
        while self._results:
            self._finish(*self._results.popleft())

    def _whole(self, requests: tuple[int, ...], items: list[Item]) -> Sequence[Result | Exception]:
        """Every piece, in the worker thread, as long as somebody waits for it."""
        running = self._run(items)
        while any(request in self._entries for request in requests):
            try:
                next(running)
            except StopIteration as end:
                results: Sequence[Result | Exception] = end.value
                return results
        return [RuntimeError("nobody waits for it")] * len(requests)
