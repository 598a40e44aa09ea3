"""An attempt from its place in the queue to its end, and whether another one follows."""

from __future__ import annotations

import signal
from typing import Any

from argosy.artifacts.reference import Value
from argosy.engine import nodes
from argosy.engine.commands import Enqueue, Launch, StartTimer, Stop, Withdraw
from argosy.engine.events import AttemptEnded, AttemptGranted, AttemptStarted
from argosy.engine.identity import attempt_id, split_attempt_id
from argosy.engine.inputs import resolve_inputs, seen_generations
from argosy.engine.memo import memo_key, memo_parts
from argosy.engine.state import HOLDING, Phase
from argosy.engine.transition import Transition
from argosy.flow.graph import NodeId, RetryRule
from argosy.runtime.protocol import AttemptId, Cause, Outcome
from argosy.units import format_duration

# Losses are nobody's fault in the step, but a node that is lost time after time must not run for ever.
LOSS_LIMIT = 5
KILL_LIMIT = 2
# A run that was not cancelled has no cancelled attempts: whoever stopped one stopped the machinery.
_LOSSES = frozenset({Cause.LOST, Cause.PREEMPTED, Cause.CANCELLED})
_PERMANENT = frozenset({Cause.IMPORT_ERROR, Cause.CORRUPT_INPUT})


def queue(transition: Transition, node: NodeId) -> None:
    """Number a new attempt and ask for its room."""
    state = transition[node]
    number = state.attempt + 1
    transition.change(
        node,
        phase=Phase.QUEUED,
        attempt=number,
        resume_at=None,
        # Kept from the first attempt on: what runs again keeps its place in line.
        queued_at=transition.time if state.queued_at is None else state.queued_at,
    )
    transition.emit(Enqueue(node, attempt_id(transition.plan.run, node, number)))


def granted(transition: Transition, event: AttemptGranted) -> None:
    node = _current_node(transition, event.attempt, event.token)
    if node is None or transition[node].phase is not Phase.QUEUED:
        transition.emit(Withdraw(event.attempt))
        return
    state = transition[node]
    inputs = resolve_inputs(transition.plan, transition.state, node)
    transition.change(
        node,
        phase=Phase.STARTING,
        reason="",
        started_at=transition.time if state.started_at is None else state.started_at,
        **_newest_inputs(transition, node, inputs),
    )
    transition.emit(Launch(node, event.attempt, event.token, inputs))


def _newest_inputs(transition: Transition, node: NodeId, inputs: dict[str, Value]) -> dict[str, Any]:
    """What a start records of inputs that may have moved on while the node was in the queue."""
    plan, step = transition.plan, transition.plan.step_of(node)
    if step.id not in plan.streaming:
        return {}
    key = memo_key(step, memo_parts(step, inputs)) if step.memoize else ""
    return {"consumed": seen_generations(plan, transition.state, node), "memo_key": key}


def started(transition: Transition, event: AttemptStarted) -> None:
    node = _current_node(transition, event.attempt, event.token)
    if node is None or transition[node].phase not in HOLDING:
        transition.emit(Stop(event.attempt, Cause.CANCELLED, "it was superseded"))
    elif transition[node].phase is Phase.STARTING:
        transition.change(node, phase=Phase.RUNNING)


def ended(transition: Transition, event: AttemptEnded) -> None:
    """Take the result once; a report of a superseded attempt only gives its room back."""
    node = _current_node(transition, event.attempt, event.token)
    if node is not None and transition[node].phase in HOLDING:
        _conclude(transition, node, event)
    # Last, so that an attempt that follows at once stands in line before the room is given away.
    transition.emit(Withdraw(event.attempt))


def _conclude(transition: Transition, node: NodeId, event: AttemptEnded) -> None:
    outcome = event.outcome
    if outcome.cause is Cause.SUCCEEDED and event.output is not None:
        nodes.succeed(transition, node, event.output)
    elif transition.state.cancelled:
        nodes.set_cancelled(transition, node, transition.state.reason)
    elif outcome.cause in _LOSSES or _was_killed(transition, node, outcome):
        _repeat_lost(transition, node, outcome)
    else:
        _retry_or_fail(transition, node, outcome)


def _was_killed(transition: Transition, node: NodeId, outcome: Outcome) -> bool:
    """Whether someone else ended it. Beyond the first few times the step itself is suspected."""
    from_outside = outcome.cause is Cause.SIGNAL and outcome.signal in (signal.SIGKILL, signal.SIGTERM)
    return from_outside and transition[node].losses < KILL_LIMIT


def _repeat_lost(transition: Transition, node: NodeId, outcome: Outcome) -> None:
    losses = transition[node].losses + 1
    transition.change(node, losses=losses)
    if losses > LOSS_LIMIT:
        nodes.fail(transition, node, f"lost {losses} times; the last time: {describe(outcome)}")
        return
    transition.change(node, reason=f"runs again: {describe(outcome)}")
    queue(transition, node)


def _retry_or_fail(transition: Transition, node: NodeId, outcome: Outcome) -> None:
    rule = transition.plan.step_of(node).retry
    failures = transition[node].failures + 1
    transition.change(node, failures=failures)
    if outcome.cause in _PERMANENT or failures > rule.limit:
        nodes.fail(transition, node, _verdict(outcome, failures, rule))
        return
    delay = backoff_seconds(rule, failures)
    reason = f"attempt {failures} of {rule.limit + 1}: {describe(outcome)}; again in {format_duration(delay)}"
    resume_at = transition.time + delay
    transition.change(node, phase=Phase.BACKOFF, reason=reason, resume_at=resume_at)
    transition.emit(StartTimer(node, transition[node].attempt, resume_at))


def _verdict(outcome: Outcome, failures: int, rule: RetryRule) -> str:
    text = describe(outcome)
    if outcome.cause in _PERMANENT and rule.limit:
        return f"{text} (not retried: another attempt would end the same way)"
    return f"{text} (after {failures} attempts)" if failures > 1 else text


def backoff_seconds(rule: RetryRule, failures: int) -> float:
    """The wait after the ``failures``-th failure: exponential, bounded."""
    try:
        return min(rule.backoff_seconds * rule.factor ** (failures - 1), rule.maximum_seconds)
    except OverflowError:
        return rule.maximum_seconds


def backoff_elapsed(transition: Transition, node: NodeId, number: int) -> None:
    state = transition.state.nodes.get(node)
    if state is not None and state.phase is Phase.BACKOFF and state.attempt == number:
        queue(transition, node)


def describe(outcome: Outcome) -> str:
    """``out of memory: held 2.1Gi of 2Gi``"""
    if outcome.cause is Cause.SUCCEEDED:
        return "it ended without a result"
    cause = outcome.cause.value.replace("_", " ")
    return f"{cause}: {outcome.message}" if outcome.message else cause


def _current_node(transition: Transition, attempt: AttemptId, token: int) -> NodeId | None:
    """The node of an attempt if the attempt is its newest, else None: the fence against late reports."""
    _, node, _ = split_attempt_id(attempt)
    state = transition.state.nodes.get(node)
    return node if state is not None and state.attempt == token else None
