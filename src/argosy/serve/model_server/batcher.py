"""Runs batches in one worker thread; :mod:`argosy.serve.model_server.batching` says which."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from argosy.serve.http.failures import Overloaded
from argosy.serve.model_server.batching import (
    Arrived,
    BatchEvent,
    BatchLimits,
    BatchState,
    Finished,
    Refuse,
    Run,
    Waiting,
    Withdrawn,
    decide,
)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """``run`` answers a batch item by item, in order; an exception in an item's place is that item's answer.

    ``run`` is called in one thread of its own, one batch at a time; everything else belongs to the loop.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Sequence[Result | Exception]], limits: BatchLimits
    ) -> None:
        self._run = run
        self._state = BatchState(limits)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._items: dict[int, tuple[Item, asyncio.Future[Result]]] = {}
        self._arrivals: list[Waiting] = []
        self._work: queue.SimpleQueue[tuple[tuple[int, ...], list[Item]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)
        self._thread.start()

    async def submit(self, item: Item, rows: int, size: int) -> Result:
        """The answer for ``item``. Raises Overloaded at once when the queue is full."""
        number = next(self._numbers)
        future: asyncio.Future[Result] = self._loop.create_future()
        self._items[number] = (item, future)
        if not self._arrivals:
            # Requests read in the same turn of the loop arrive together.
            self._loop.call_soon(self._flush)
        self._arrivals.append(Waiting(number, rows, size))
        try:
            return await future
        finally:
            if self._items.pop(number, None) is not None:
                self._feed(Withdrawn(number))

    def close(self) -> None:
        """Ends the thread after the batch under way."""
        self._work.put(None)
        self._thread.join()

    def _flush(self) -> None:
        arrivals, self._arrivals = tuple(self._arrivals), []
        self._feed(Arrived(arrivals))

    def _feed(self, event: BatchEvent) -> None:
        self._state, commands = decide(self._state, event)
        for command in commands:
            match command:
                case Run(requests):
                    self._start(requests)
                case Refuse(request, reason):
                    self._settle(request, Overloaded(reason))

    def _start(self, requests: tuple[int, ...]) -> None:
        live = tuple(request for request in requests if request in self._items)
        self._work.put((live, [self._items[request][0] for request in live]))

    def _finish(self, requests: tuple[int, ...], results: Sequence[Result | Exception]) -> None:
        for request, result in zip(requests, results, strict=True):
            self._settle(request, result)
        self._feed(Finished())

    def _settle(self, request: int, result: Result | Exception) -> None:
        _, future = self._items.pop(request, (None, None))
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            requests, items = work
            results: Sequence[Result | Exception]
            try:
                results = self._run(items) if items else []
            except Exception as error:
                results = [error] * len(items)
            self._loop.call_soon_threadsafe(self._finish, requests, results)
