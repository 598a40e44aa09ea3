"""The engine's core: ``decide(plan, state, event) -> Decision``. No clock, no I/O, no randomness.

A node goes  waiting → [looking up] → queued → starting → running → succeeded
with cached, backoff, failed, skipped and cancelled on the side; a mapped node goes
waiting → [expanding] → mapped, and a service waiting → deploying.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from argosy.engine import attempts, mapping, nodes, services
from argosy.engine.commands import Command, FinishRun
from argosy.engine.events import (
    AttemptEnded,
    AttemptGranted,
    AttemptStarted,
    BackoffElapsed,
    CancelRequested,
    Event,
    MapExpanded,
    MapRefused,
    MemoFound,
    MemoMissed,
    RunSubmitted,
    ServiceFailed,
    ServiceReady,
)
from argosy.engine.inputs import Availability, availability, resolve, seen_generations
from argosy.engine.state import NodeState, Phase, Plan, RunPhase, RunState
from argosy.engine.transition import Transition
from argosy.flow.graph import NodeId


@dataclass(frozen=True, slots=True)
class Decision:
    """``touched`` names the nodes whose state changed, ``run_changed`` whether the run's own did."""

    state: RunState
    commands: tuple[Command, ...]
    touched: tuple[NodeId, ...]
    run_changed: bool


def decide(plan: Plan, state: RunState, event: Event) -> Decision:
    """What follows from one event. An event that came too late (a superseded attempt) changes nothing."""
    transition = Transition(plan, state, event.time)
    submitted = bool(state.nodes)
    if transition.running and submitted is not isinstance(event, RunSubmitted):
        _apply(transition, event)
        _settle_down(transition)
    return Decision(
        transition.finish(),
        tuple(transition.commands),
        tuple(transition.touched),
        transition.run_changed,
    )


def _apply(transition: Transition, event: Event) -> None:
    match event:
        case RunSubmitted():
            _submit(transition)
        case MemoFound():
            nodes.memo_found(transition, event)
        case MemoMissed():
            nodes.memo_missed(transition, event)
        case MapExpanded(node=node, items=items):
            mapping.expand(transition, node, items)
        case MapRefused(node=node, reason=reason):
            mapping.refuse(transition, node, reason)
        case AttemptGranted():
            attempts.granted(transition, event)
        case AttemptStarted():
            attempts.started(transition, event)
        case AttemptEnded():
            attempts.ended(transition, event)
        case BackoffElapsed(node=node, number=number):
            attempts.backoff_elapsed(transition, node, number)
        case ServiceReady():
            services.ready(transition, event)
        case ServiceFailed():
            services.failed(transition, event)
        case CancelRequested(reason=reason):
            _cancel(transition, reason)
        case _:
            assert_never(event)


def _submit(transition: Transition) -> None:
    plan = transition.plan
    for node in plan.graph.nodes:
        above = plan.upstream[node.id]
        transition.create(node.id, NodeState(remaining=len(above), created_at=transition.time))
        if not above:
            transition.to_consider.append(node.id)
    transition.change_run(unsettled=len(plan.graph.nodes), created_at=transition.time)


def _cancel(transition: Transition, reason: str) -> None:
    if transition.state.cancelled:
        return
    transition.change_run(cancelled=True, reason=reason)
    for node in list(transition.state.nodes):
        nodes.cancel(transition, node, reason)


def _settle_down(transition: Transition) -> None:
    while transition.to_consider:
        nodes.consider(transition, transition.to_consider.popleft())
    if transition.running and transition.state.unsettled == 0:
        _finish(transition)


def _finish(transition: Transition) -> None:
    state, output = transition.state, transition.plan.graph.output
    if state.failed:
        phase, reason = RunPhase.FAILED, _failure_reason(state)
    elif state.cancelled and _cut_short(transition.plan, state):
        phase, reason = RunPhase.CANCELLED, state.reason
    else:
        # Also when a cancellation came after the last node that it could have stopped.
        phase, reason = RunPhase.SUCCEEDED, ""
    complete = availability(output, state) is Availability.READY
    transition.change_run(
        phase=phase,
        ended_at=transition.time,
        reason=reason,
        output=resolve(output, state) if complete else None,
    )
    transition.emit(FinishRun())


def _cut_short(plan: Plan, state: RunState) -> bool:
    """Whether a cancellation kept anything from running, be it only a consumer from running once more."""
    if any(node.phase is Phase.CANCELLED for node in state.nodes.values()):
        return True
    return any(state.nodes[node].consumed != seen_generations(plan, state, node) for node in plan.streaming)


def _failure_reason(state: RunState) -> str:
    failed = [node for node, s in state.nodes.items() if s.phase is Phase.FAILED and s.parent is None]
    first = f"{failed[0]} failed: {state.nodes[failed[0]].reason}"
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return first + more + (f"; then {state.reason}" if state.reason else "")
