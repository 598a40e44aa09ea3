"""Replicas that are asked whether they live, on real sockets."""

from __future__ import annotations

import asyncio
import time

from argosy.runtime.protocol import AttemptId
from argosy.serve.lifecycle.events import ReplicaListening
from argosy.serve.lifecycle.state import ServeState
from argosy.serve.manager.checking import Checker

from .harness import asynchronous, until
from .test_activator import echo
from .world import World

FIRST = AttemptId("service-fashion.r1.cnn.0")


def serving(port: int) -> World:
    world = World()
    world.deploy("cnn")
    world.feed(ReplicaListening(world.time, FIRST, world.alive[FIRST], port))
    return world


@asynchronous
async def test_one_that_does_not_answer_is_told_of_and_so_is_its_next_answer() -> None:
    heard: list[tuple[AttemptId, str]] = []
    checker = Checker(lambda attempt, token, reason: heard.append((attempt, reason)), 3600, 0.1)
    async with echo() as replica:
        checker.watch(serving(replica.port).state)
        await checker.round()
        assert heard == [(FIRST, "it answered 207")]
        replica.hold.clear()
        await checker.round()
        assert heard[1:] == [(FIRST, "no answer within 0.1 s")]
        replica.hold.set()
    await checker.close()


@asynchronous
async def test_a_check_that_was_held_up_here_says_nothing_of_the_replica() -> None:
    heard: list[str] = []
    checker = Checker(lambda attempt, token, reason: heard.append(reason), 3600, 0.1)
    async with echo() as replica:
        replica.hold.clear()
        checker.watch(serving(replica.port).state)
        checking = asyncio.create_task(checker.round())
        await until(lambda: replica.asked, "the check to arrive")
        # The whole process stands still, as it does when it is stopped or the machine sleeps.
        time.sleep(1.3)  # noqa: ASYNC251
        await checking
        assert heard == []
    await checker.close()


@asynchronous
async def test_nothing_is_asked_while_there_is_no_replica() -> None:
    checker = Checker(lambda attempt, token, reason: None, 0.01, 0.1)
    async with echo() as replica:
        checker.watch(serving(replica.port).state)
        await until(lambda: len(replica.asked) > 1, "two checks")
        checker.watch(ServeState())
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 2  # this one, and the server's of the connection
    await checker.close()
