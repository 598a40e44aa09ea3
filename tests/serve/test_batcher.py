"""The batcher with its real thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from argosy.serve.http.failures import Overloaded
from argosy.serve.model_server.batcher import Batcher
from argosy.serve.model_server.batching import BatchLimits

from .harness import asynchronous


class Doubling:
    """Doubles numbers, when the gate is open; remembers its batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.started.set()
        assert self.gate.wait(10)
        return [ValueError(f"{item} is odd") if item % 2 else item * 2 for item in items]


@asynchronous
async def test_each_caller_gets_its_own_answer_or_error() -> None:
    work = Doubling()
    work.gate.set()
    batcher = Batcher(work, BatchLimits())
    results = await asyncio.gather(*(batcher.submit(n, 1, 1) for n in range(6)), return_exceptions=True)
    batcher.close()
    assert [results[n] for n in (0, 2, 4)] == [0, 4, 8]
    assert all(isinstance(results[n], ValueError) for n in (1, 3, 5))
    assert [item for batch in work.batches for item in batch] == list(range(6))


@asynchronous
async def test_a_batch_that_raises_fails_its_requests_and_nothing_else() -> None:
    def work(items: Sequence[int]) -> list[int | Exception]:
        if 1 in items:
            raise RuntimeError("no")
        return list(items)

    batcher = Batcher(work, BatchLimits())
    with pytest.raises(RuntimeError, match="no"):
        await batcher.submit(1, 1, 1)
    assert await batcher.submit(2, 1, 1) == 2
    batcher.close()


@asynchronous
async def test_a_full_queue_refuses_while_the_model_is_busy() -> None:
    work = Doubling()
    batcher = Batcher(work, BatchLimits(queue_requests=2))
    first = asyncio.create_task(batcher.submit(0, 1, 1))
    await asyncio.to_thread(work.started.wait)
    waiting = [asyncio.create_task(batcher.submit(n, 1, 1)) for n in (2, 4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 requests are waiting already"):
        await batcher.submit(6, 1, 1)
    work.gate.set()
    assert await asyncio.gather(first, *waiting) == [0, 4, 8]
    batcher.close()


@asynchronous
async def test_a_request_nobody_waits_for_any_more_is_not_run() -> None:
    work = Doubling()
    batcher = Batcher(work, BatchLimits())
    first = asyncio.create_task(batcher.submit(0, 1, 1))
    await asyncio.to_thread(work.started.wait)
    given_up = asyncio.create_task(batcher.submit(2, 1, 1))
    kept = asyncio.create_task(batcher.submit(4, 1, 1))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    work.gate.set()
    assert [await first, await kept] == [0, 8]
    assert work.batches == [[0], [4]]
    batcher.close()
