"""How a node starts, ends and settles, and what that means for the nodes below it."""

from __future__ import annotations

from argosy.artifacts.reference import Value, fingerprint
from argosy.engine import attempts, mapping, services
from argosy.engine.commands import LookUpMemo, Remember, Stop, Withdraw
from argosy.engine.events import MemoFound, MemoMissed
from argosy.engine.identity import attempt_id
from argosy.engine.inputs import Availability, inputs_availability, resolve_inputs, seen_generations
from argosy.engine.memo import memo_key, memo_parts
from argosy.engine.state import ENDS, HOLDING, NodeState, Phase
from argosy.engine.transition import Transition
from argosy.flow.graph import NodeId, ServiceNode
from argosy.runtime.protocol import Cause


def consider(transition: Transition, node: NodeId) -> None:
    """Start, skip or settle a node whose inputs may have changed."""
    state = transition[node]
    if state.settled:
        return
    if node in transition.plan.streaming:
        _consider_streaming(transition, node, state)
    elif state.phase is Phase.WAITING and state.remaining == 0:
        if inputs_availability(transition.plan, transition.state, node) is Availability.NEVER:
            _skip(transition, node)
        else:
            begin(transition, node)


def _consider_streaming(transition: Transition, node: NodeId, state: NodeState) -> None:
    if state.phase is not Phase.WAITING and state.phase not in ENDS:
        return
    match inputs_availability(transition.plan, transition.state, node):
        case Availability.NEVER:
            _skip(transition, node)
        case Availability.READY:
            seen = seen_generations(transition.plan, transition.state, node)
            if seen != state.consumed:
                transition.change(node, consumed=seen, failures=0, losses=0, ended_at=None)
                begin(transition, node)
            elif state.remaining == 0:
                _settle(transition, node)
        case Availability.NOT_YET:
            return


def begin(transition: Transition, node: NodeId) -> None:
    """Set a node going whose inputs are all there."""
    graph_node = transition.plan.node_of(node)
    if isinstance(graph_node, ServiceNode):
        services.deploy(transition, node, graph_node)
    elif graph_node.map_over and transition[node].parent is None:
        mapping.begin(transition, node, graph_node)
    elif graph_node.memoize is not None:
        look_up(transition, node)
    else:
        attempts.queue(transition, node)


def look_up(transition: Transition, node: NodeId) -> None:
    """Ask whether an equal result exists."""
    step = transition.plan.step_of(node)
    parts = memo_parts(step, resolve_inputs(transition.plan, transition.state, node))
    key = memo_key(step, parts)
    transition.change(node, phase=Phase.LOOKING_UP, memo_key=key)
    max_age = step.memoize.max_age_seconds if step.memoize else None
    transition.emit(LookUpMemo(node, key, parts, max_age))


def memo_found(transition: Transition, event: MemoFound) -> None:
    state = transition.state.nodes.get(event.node)
    if state is None or state.phase is not Phase.LOOKING_UP or state.memo_key != event.key:
        return
    transition.change(event.node, memo_reason=event.reason)
    succeed(transition, event.node, event.output, Phase.CACHED)


def memo_missed(transition: Transition, event: MemoMissed) -> None:
    state = transition.state.nodes.get(event.node)
    if state is None or state.phase is not Phase.LOOKING_UP or state.memo_key != event.key:
        return
    transition.change(event.node, memo_reason=event.reason)
    attempts.queue(transition, event.node)


def succeed(transition: Transition, node: NodeId, output: Value, phase: Phase = Phase.SUCCEEDED) -> None:
    """End a node well. An output equal to its last one does not make the nodes below run again."""
    state = transition[node]
    same = state.output is not None and fingerprint(state.output) == fingerprint(output)
    transition.change(
        node,
        phase=phase,
        output=output,
        generation=state.generation if same else state.generation + 1,
        ended_at=transition.time,
        reason="",
        resume_at=None,
    )
    if phase is Phase.SUCCEEDED and state.memo_key:
        _remember(transition, node, state, output)
    end(transition, node)


def _remember(transition: Transition, node: NodeId, state: NodeState, output: Value) -> None:
    """Keep the result, unless the inputs have moved on since it was begun (a node fed by ``arriving``)."""
    plan = transition.plan
    if state.consumed is not None and state.consumed != seen_generations(plan, transition.state, node):
        return
    step = plan.step_of(node)
    parts = memo_parts(step, resolve_inputs(plan, transition.state, node))
    if memo_key(step, parts) == state.memo_key:
        transition.emit(Remember(node, state.memo_key, parts, output))


def fail(transition: Transition, node: NodeId, reason: str) -> None:
    """End a node badly: nodes that need it are skipped, all others go on."""
    transition.change(node, phase=Phase.FAILED, reason=reason, ended_at=transition.time, resume_at=None)
    end(transition, node)


def _skip(transition: Transition, node: NodeId) -> None:
    above = transition.plan.upstream[node]
    failed = [n for n in above if transition[n].settled and transition[n].output is None]
    reason = (
        f"needs {failed[0]}, which {_ended_word(transition[failed[0]])}" if failed else "an input is missing"
    )
    transition.change(node, phase=Phase.SKIPPED, reason=reason, ended_at=transition.time)
    _settle(transition, node)


def _ended_word(state: NodeState) -> str:
    return {Phase.SKIPPED: "was skipped", Phase.CANCELLED: "was cancelled"}.get(state.phase, "failed")


def cancel(transition: Transition, node: NodeId, reason: str) -> None:
    """Stop what runs, withdraw what waits. A running attempt is cancelled when its end is reported."""
    state = transition[node]
    if state.settled or (state.phase in ENDS and state.parent is not None):
        return
    attempt = attempt_id(transition.plan.run, node, state.attempt)
    if state.phase in HOLDING:
        transition.change(node, reason="being cancelled")
        transition.emit(Stop(attempt, Cause.CANCELLED, reason))
        return
    if state.phase is Phase.MAPPED:
        return
    if state.phase is Phase.QUEUED:
        transition.emit(Withdraw(attempt))
    if state.phase not in ENDS or state.phase is Phase.FAILED:
        # A failure that is not settled was provisional: what was still to arrive might have mended it.
        set_cancelled(transition, node, reason)
    else:
        _settle(transition, node)


def set_cancelled(transition: Transition, node: NodeId, reason: str) -> None:
    transition.change(node, phase=Phase.CANCELLED, reason=reason, ended_at=transition.time, resume_at=None)
    end(transition, node)


def end(transition: Transition, node: NodeId) -> None:
    """What follows from a node's end: for its parent when it is an instance, else for the nodes below."""
    state = transition[node]
    if state.parent is not None:
        mapping.instance_ended(transition, node, state.parent)
        return
    final = node not in transition.plan.streaming or state.phase is Phase.CANCELLED
    if final or transition.state.cancelled:
        _settle(transition, node)
        return
    transition.to_consider.append(node)
    transition.to_consider.extend(transition.plan.downstream[node])


def _settle(transition: Transition, node: NodeId) -> None:
    state = transition[node]
    if state.settled:
        return
    transition.change(node, settled=True)
    run = transition.state
    transition.change_run(unsettled=run.unsettled - 1, failed=run.failed + (state.phase is Phase.FAILED))
    for below in transition.plan.downstream[node]:
        transition.change(below, remaining=transition[below].remaining - 1)
        transition.to_consider.append(below)
