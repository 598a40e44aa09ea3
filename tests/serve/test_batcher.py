"""The batcher with its real thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from argosy.serve.http.failures import Overloaded
from argosy.serve.model_server.batcher import REFUSALS_A_TURN, Batcher, Running
from argosy.serve.model_server.batching import BatchLimits

from .harness import asynchronous, until


class Doubling:
    """Doubles numbers, when the gate is open; remembers its batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> Running[int]:
        self.batches.append(list(items))
        self.started.set()
        assert self.gate.wait(10)
        yield
        return [ValueError(f"{item} is odd") if item % 2 else item * 2 for item in items]


@asynchronous
async def test_each_caller_gets_its_own_answer_or_error() -> None:
    work = Doubling()
    work.gate.set()
    batcher = Batcher(work, BatchLimits())
    results = await asyncio.gather(*(batcher.ask(n, 1, 1) for n in range(6)), return_exceptions=True)
    batcher.close()
    assert [results[n] for n in (0, 2, 4)] == [0, 4, 8]
    assert all(isinstance(results[n], ValueError) for n in (1, 3, 5))
    assert [item for batch in work.batches for item in batch] == list(range(6))


@asynchronous
async def test_a_batch_that_raises_fails_its_requests_and_nothing_else() -> None:
    def work(items: Sequence[int]) -> Running[int]:
        yield
        if 1 in items:
            raise RuntimeError("no")
        return list(items)

    batcher = Batcher(work, BatchLimits())
    with pytest.raises(RuntimeError, match="no"):
        await batcher.ask(1, 1, 1)
    assert await batcher.ask(2, 1, 1) == 2
    batcher.close()


@asynchronous
async def test_a_full_queue_refuses_while_the_model_is_busy() -> None:
    work = Doubling()
    batcher = Batcher(work, BatchLimits(queue_requests=2))
    first = asyncio.create_task(batcher.ask(0, 1, 1))
    await asyncio.to_thread(work.started.wait)
    waiting = [asyncio.create_task(batcher.ask(n, 1, 1)) for n in (2, 4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 requests are waiting already"):
        await batcher.ask(6, 1, 1)
    work.gate.set()
    assert await asyncio.gather(first, *waiting) == [0, 4, 8]
    batcher.close()


@asynchronous
async def test_a_request_nobody_waits_for_any_more_is_not_run() -> None:
    work = Doubling()
    batcher = Batcher(work, BatchLimits())
    first = asyncio.create_task(batcher.ask(0, 1, 1))
    await asyncio.to_thread(work.started.wait)
    given_up = asyncio.create_task(batcher.ask(2, 1, 1))
    kept = asyncio.create_task(batcher.ask(4, 1, 1))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    work.gate.set()
    assert [await first, await kept] == [0, 8]
    assert work.batches == [[0], [4]]
    batcher.close()


def _doubled(items: Sequence[int]) -> Running[int]:
    yield
    return [item * 2 for item in items]


@asynchronous
async def test_a_quick_batch_runs_in_the_thread_of_the_loop_and_gives_it_a_turn_between_pieces() -> None:
    seen: list[object] = []

    def work(items: Sequence[int]) -> Running[int]:
        for piece in range(3):
            seen.append((piece, threading.current_thread() is threading.main_thread()))
            yield
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, BatchLimits(), is_quick=lambda items: True)
    answer = asyncio.create_task(batcher.ask(7, 1, 1))
    while not answer.done():
        seen.append("turn")
        await asyncio.sleep(0)
    assert await answer == 7
    pieces = [one for one in seen if one != "turn"]
    assert pieces == [(0, True), (1, True), (2, True)]
    first, second = seen.index((0, True)), seen.index((1, True))
    assert "turn" in seen[first:second]
    batcher.close()


@pytest.mark.parametrize("is_quick", [True, False])
@asynchronous
async def test_everything_of_one_turn_of_the_loop_is_one_batch(is_quick: bool) -> None:
    batches: list[list[int]] = []

    def work(items: Sequence[int]) -> Running[int]:
        batches.append(list(items))
        yield
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, BatchLimits(), is_quick=lambda items: is_quick)
    await asyncio.gather(*(batcher.ask(n, 1, 1) for n in range(5)))
    assert batches == [[0, 1, 2, 3, 4]]
    batcher.close()


@asynchronous
async def test_a_batch_waits_for_a_request_that_is_being_sent_and_no_longer_once_it_is_not() -> None:
    coming = 1
    batcher: Batcher[int, int] = Batcher(
        _doubled, BatchLimits(wait_seconds=30.0), is_quick=lambda items: True, coming=lambda: coming
    )
    answer = asyncio.create_task(batcher.ask(1, 1, 1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not answer.done()
    coming = 0
    batcher.look()
    assert await answer == 2
    batcher.close()


@asynchronous
async def test_a_batch_waits_no_longer_than_it_may() -> None:
    batcher: Batcher[int, int] = Batcher(
        _doubled, BatchLimits(wait_seconds=0.02), is_quick=lambda items: True, coming=lambda: 1
    )
    assert await batcher.ask(1, 1, 1) == 2
    batcher.close()


@asynchronous
async def test_pieces_stop_when_nobody_waits_for_them_any_more() -> None:
    pieces = 0

    def work(items: Sequence[int]) -> Running[int]:
        nonlocal pieces
        while items != [2]:
            pieces += 1
            yield
        return list(items)

    batcher: Batcher[int, int] = Batcher(work, BatchLimits(), is_quick=lambda items: True)
    given_up = asyncio.create_task(batcher.ask(1, 1, 1))
    await until(lambda: pieces >= 3, "some pieces to run")
    given_up.cancel()
    assert await batcher.ask(2, 1, 1) == 2
    batcher.close()


@asynchronous
async def test_answering_goes_on_between_refusals_however_long_a_turn_of_the_loop_is() -> None:
    batches: list[int] = []
    answered: list[int | Exception] = []

    def work(items: Sequence[int]) -> Running[int]:
        batches.append(len(items))
        return list(items)
        yield

    limits = BatchLimits(batch_rows=4, queue_requests=8)
    batcher: Batcher[int, int] = Batcher(work, limits, is_quick=lambda items: True)
    refused = 0
    for number in range(1000):
        try:
            batcher.check_room(1)
        except Overloaded:
            refused += 1
        else:
            batcher.submit(number, 1, 1, answered.append)
    # All of it in one turn: nothing was read or written in between.
    assert len(answered) >= 4 * (refused // REFUSALS_A_TURN) > 0
    assert refused + len(answered) + batcher.queued == 1000
    assert max(batches) == 4
    await until(lambda: not batcher.queued, "the rest to be answered")
    assert refused + len(answered) == 1000
    batcher.close()


@asynchronous
async def test_the_worker_thread_has_its_share_while_the_loop_is_busy_with_refusing() -> None:
    answered: list[int | Exception] = []
    limits = BatchLimits(batch_rows=4, queue_requests=8)
    batcher: Batcher[int, int] = Batcher(_doubled, limits)
    refused = 0
    deadline = asyncio.get_running_loop().time() + 10
    # All of it in one turn: what the worker has done is not waited for by the loop.
    while len(answered) < 40 and asyncio.get_running_loop().time() < deadline:
        try:
            batcher.check_room(1)
        except Overloaded:
            refused += 1
        else:
            batcher.submit(1, 1, 1, answered.append)
    assert answered[:40] == [2] * 40
    assert refused
    await until(lambda: not batcher.queued, "the rest to be answered")
    batcher.close()
