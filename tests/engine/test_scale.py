"""Large graphs: no recursion, and work that grows with the graph and not with its square.

Calls are counted instead of seconds: a count does not depend on who else uses the machine.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable

import pytest

from argosy.engine.commands import Deploy, Enqueue, Launch, LookUpMemo
from argosy.engine.core import decide
from argosy.engine.events import (
    AttemptEnded,
    AttemptGranted,
    AttemptStarted,
    CancelRequested,
    Event,
    MemoMissed,
    RunSubmitted,
    ServiceReady,
)
from argosy.engine.identity import split_attempt_id
from argosy.engine.recovery import outstanding
from argosy.engine.state import Plan, RunPhase, RunState
from argosy.engine.validation import violations
from argosy.flow.graph import Graph, Literal
from argosy.runtime.protocol import Cause, Outcome
from argosy.schedule.model import Capacity, Demand, Job, JobId
from argosy.schedule.queue import JobQueue

from .building import collection, graph, inline, ref, step, stored


def chain(length: int) -> Graph:
    return graph(step("n0"), *(step(f"n{i}", x=ref(f"n{i - 1}")) for i in range(1, length)))


def fan(width: int) -> Graph:
    names = [f"n{i}" for i in range(width)]
    middle = [step(name, x=ref("a"), memoize=True) for name in names]
    return graph(step("a"), *middle, step("z", xs=collection(*names)))


def mapped(width: int) -> Graph:
    return graph(step("m", x=Literal(list(range(width))), map_over="x"), step("z", xs=ref("m")))


def answers(command: object) -> list[Event]:
    match command:
        case LookUpMemo(node, key):
            return [MemoMissed(1.0, node, key, "new")]
        case Enqueue(_, attempt):
            return [AttemptGranted(1.0, attempt, split_attempt_id(attempt)[2])]
        case Launch(_, attempt, token):
            outcome = Outcome(Cause.SUCCEEDED)
            return [
                AttemptStarted(1.0, attempt, token),
                AttemptEnded(1.0, attempt, token, outcome, stored("same")),
            ]
        case Deploy(node, generation):
            return [ServiceReady(1.0, node, generation, {})]
        case _:
            return []


def drive(plan: Plan) -> tuple[RunState, int]:
    """Answer everything at once, to the end; the last state and the number of events."""
    state, events, count = RunState(), deque[Event]([RunSubmitted(0.0)]), 0
    while events:
        decision = decide(plan, state, events.popleft())
        state, count = decision.state, count + 1
        for command in decision.commands:
            events.extend(answers(command))
    return state, count


def calls_of(action: Callable[[], object]) -> int:
    """How many functions an action calls, Python's own among them."""
    count = 0

    def counting(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counting)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_a_chain_of_five_thousand_needs_no_recursion() -> None:
    plan = Plan("run", chain(5000))
    state, _ = drive(plan)
    assert state.phase is RunPhase.SUCCEEDED


def test_a_chain_of_five_thousand_is_skipped_and_cancelled_without_recursion() -> None:
    plan = Plan("run", chain(5000))
    state = decide(plan, RunState(), RunSubmitted(0.0)).state
    cancelled = decide(plan, state, CancelRequested(1.0, "enough")).state
    assert cancelled.phase is RunPhase.CANCELLED
    attempt = outstanding(plan, state)[0].attempt  # type: ignore[union-attr]
    for event in (
        AttemptGranted(1.0, attempt, 1),
        AttemptEnded(2.0, attempt, 1, Outcome(Cause.ERROR, "boom")),
    ):
        state = decide(plan, state, event).state
    assert state.phase is RunPhase.FAILED
    assert violations(plan, state) == []


def test_a_thousand_wide_fan_out_and_fan_in_ends() -> None:
    state, count = drive(Plan("run", fan(1000)))
    assert state.phase is RunPhase.SUCCEEDED
    assert count == 4 * 1000 + 3 * 2 + 1


def test_a_map_over_a_thousand_items_ends_in_their_order() -> None:
    plan = Plan("run", mapped(1000))
    state, _ = drive(plan)
    assert state.phase is RunPhase.SUCCEEDED
    assert state.nodes[plan.graph.nodes[0].id].instances == 1000
    assert list(state.nodes)[-1] == "m[999]"
    assert state.nodes[list(state.nodes)[-1]].item == inline(999)


@pytest.mark.parametrize("shape", [chain, fan, mapped])
def test_the_calls_of_an_event_do_not_grow_with_the_graph(shape: Callable[[int], Graph]) -> None:
    per_event = []
    for size in (100, 800):
        plan = Plan("run", shape(size))
        events = drive(plan)[1]
        per_event.append(calls_of(lambda plan=plan: drive(plan)) / events)  # type: ignore[misc]
    assert per_event[1] < 1.5 * per_event[0]


def test_the_calls_of_the_queue_do_not_grow_with_the_line() -> None:
    def through(length: int) -> int:
        queue, done = JobQueue(Capacity(2.0, 0)), 0
        for index in range(length):
            queue.submit(Job(JobId(str(index)), Demand(1.0), priority=index % 3))
        # Asked about every job of a line that stands still, as a view of a run does.
        for index in range(length):
            queue.explain(JobId(str(index)))
        while granted := queue.take_granted():
            for job in granted:
                queue.withdraw(job)
                done += 1
        return done

    assert through(50) == 50
    small, large = calls_of(lambda: through(200)), calls_of(lambda: through(1600))
    assert large / 1600 < 1.5 * small / 200
