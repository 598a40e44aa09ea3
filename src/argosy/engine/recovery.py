"""From committed events back to a living run, and what must be asked for again."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from argosy.engine.commands import Command, Deploy, Enqueue, Launch, LookUpMemo, ReadList, StartTimer, Stop
from argosy.engine.core import decide
from argosy.engine.events import AttemptEnded, Event
from argosy.engine.identity import attempt_id, split_attempt_id
from argosy.engine.inputs import resolve, resolve_inputs
from argosy.engine.memo import memo_key, memo_parts
from argosy.engine.ports import Records
from argosy.engine.state import ENDS, HOLDING, NodeState, Phase, Plan, RunPhase, RunState
from argosy.engine.turn import LiveRun
from argosy.flow.graph import NodeId, ServiceNode, graph_from_json
from argosy.metadata.records import RunRecord
from argosy.runtime.protocol import AttemptId, Cause, Outcome

_EVENTS: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def restore(records: Records, record: RunRecord) -> LiveRun:
    """Fold the committed events of a run: the state it had when the last of them was committed."""
    live = LiveRun(Plan(record.run, graph_from_json(record.graph)), record.user)
    for row in records.events(record.run):
        live.state = decide(live.plan, live.state, _EVENTS.decode(row.body)).state
        live.sequence = row.sequence
    held = {attempt for attempt, _ in held_attempts(live)}
    live.attempts = {row.attempt: row for row in records.attempts(record.run) if row.attempt in held}
    return live


def given_up(record: RunRecord, error: str, time: float) -> RunRecord:
    """The row of a run whose events can not be read back."""
    return msgspec.structs.replace(
        record, state=RunPhase.FAILED.value, reason=f"can not be resumed: {error}", ended_at=time
    )


def give_up(state: RunState, error: str, time: float) -> RunState:
    """The end of a run that the core can not go on with: what had not ended is cancelled."""
    nodes = state.nodes.draft()
    for node, node_state in state.nodes.items():
        if node_state.phase not in ENDS:
            nodes[node] = msgspec.structs.replace(
                node_state, phase=Phase.CANCELLED, reason="its run was given up", ended_at=time
            )
    reason = f"given up: {error}"
    return replace(state, nodes=nodes.finish(), phase=RunPhase.FAILED, reason=reason, ended_at=time)


def held_attempts(live: LiveRun) -> list[tuple[AttemptId, int]]:
    """(attempt, token) of every attempt that should have processes."""
    return [
        (attempt_id(live.plan.run, node, state.attempt), state.attempt)
        for node, state in live.state.nodes.items()
        if state.phase in HOLDING
    ]


def resumption(
    live: LiveRun, alive: frozenset[tuple[AttemptId, int]], time: float
) -> tuple[list[Command], list[AttemptEnded]]:
    """What to ask for again, and the ends of attempts that ran and are gone. What lives is left be."""
    again: list[Command] = []
    ends: list[AttemptEnded] = []
    for command in outstanding(live.plan, live.state):
        if not isinstance(command, Launch | Stop):
            again.append(command)
            continue
        _, node, token = split_attempt_id(command.attempt)
        if (command.attempt, token) in alive:
            again += [command] if isinstance(command, Stop) else []
        elif isinstance(command, Launch) and live.state.nodes[node].phase is Phase.STARTING:
            # Committed but perhaps never sent; starting is idempotent.
            again.append(command)
        else:
            outcome = Outcome(Cause.LOST, "it was gone when the control plane came back")
            ends.append(AttemptEnded(time, command.attempt, token, outcome))
    return again, ends


def outstanding(plan: Plan, state: RunState) -> tuple[Command, ...]:
    """Commands whose answer has not been committed, in the graph's order. All are idempotent."""
    if state.phase is not RunPhase.RUNNING:
        return ()
    commands = []
    for node, node_state in state.nodes.items():
        command = _outstanding(plan, state, node, node_state)
        if command is not None:
            commands.append(command)
    return tuple(commands)


def _outstanding(plan: Plan, state: RunState, node: NodeId, node_state: NodeState) -> Command | None:
    attempt = attempt_id(plan.run, node, node_state.attempt)
    match node_state.phase:
        case Phase.STARTING | Phase.RUNNING if state.cancelled:
            return Stop(attempt, Cause.CANCELLED, state.reason)
        case Phase.LOOKING_UP:
            step = plan.step_of(node)
            parts = memo_parts(step, resolve_inputs(plan, state, node))
            max_age = step.memoize.max_age_seconds if step.memoize else None
            # Under the key that was asked for: what has arrived since must not go by another name.
            return LookUpMemo(node, node_state.memo_key or memo_key(step, parts), parts, max_age)
        case Phase.EXPANDING:
            step = plan.step_of(node)
            return ReadList(node, resolve(step.arguments[step.map_over or ""], state))
        case Phase.QUEUED:
            return Enqueue(node, attempt)
        case Phase.STARTING | Phase.RUNNING:
            return Launch(node, attempt, node_state.attempt, resolve_inputs(plan, state, node))
        case Phase.BACKOFF:
            return StartTimer(node, node_state.attempt, node_state.resume_at or 0.0)
        case Phase.DEPLOYING:
            service = plan.nodes[node]
            assert isinstance(service, ServiceNode)
            return Deploy(node, node_state.attempt, resolve(service.models, state))
        case _:
            return None
