"""The rows a run is written as: what people read, beside the events the engine recovers from."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

import msgspec

from argosy import __version__
from argosy.artifacts.reference import Value, fingerprint, references
from argosy.engine.commands import Launch
from argosy.engine.events import AttemptEnded, AttemptStarted, Event, event_kind
from argosy.engine.identity import split_attempt_id
from argosy.engine.state import NodeState, Phase, Plan, RunState
from argosy.flow.graph import NodeId, StepNode, graph_to_json
from argosy.metadata.records import ArtifactRecord, AttemptRecord, EventRecord, NodeRecord, RunRecord

_SHOWN = {
    Phase.LOOKING_UP: "waiting",
    Phase.EXPANDING: "running",
    Phase.MAPPED: "running",
    Phase.STARTING: "running",
    Phase.DEPLOYING: "running",
}


def shown_state(phase: Phase) -> str:
    """The state people see for a phase."""
    return _SHOWN.get(phase, phase.value)


def event_record(run: str, sequence: int, event: Event) -> EventRecord:
    return EventRecord(run, sequence, event.time, event_kind(event), msgspec.json.encode(event))


def run_record(plan: Plan, state: RunState, user: str) -> RunRecord:
    return RunRecord(
        run=plan.run,
        workflow=plan.graph.workflow,
        state=state.phase.value,
        created_at=state.created_at,
        graph=graph_to_json(plan.graph),
        ended_at=state.ended_at,
        user=user,
        reason=state.reason,
        output=None if state.output is None else msgspec.json.encode(state.output),
    )


def looks_the_same(before: NodeState | None, after: NodeState) -> bool:
    """Whether a change is only bookkeeping that no row shows."""
    return (
        before is not None
        and before.phase is after.phase
        and before.reason == after.reason
        and before.memo_reason == after.memo_reason
        and before.output is after.output
        and before.started_at == after.started_at
        and before.ended_at == after.ended_at
    )


def node_record(plan: Plan, node: NodeId, state: NodeState) -> NodeRecord:
    graph_node = plan.node_of(node)
    instance = state.parent is not None
    return NodeRecord(
        run=plan.run,
        node=node,
        position=plan.position(node),
        step=graph_node.step if isinstance(graph_node, StepNode) else graph_node.service,
        kind="step" if isinstance(graph_node, StepNode) else "service",
        state=shown_state(state.phase),
        label=graph_node.label,
        reason=state.reason,
        memo=state.memo_reason,
        created_at=state.created_at,
        started_at=state.started_at,
        ended_at=state.ended_at,
        output=None if state.output is None else msgspec.json.encode(state.output),
        upstream=(graph_node.id,) if instance else plan.upstream[graph_node.id],
    )


def launched_record(plan: Plan, launch: Launch, time: float) -> AttemptRecord:
    run, node, number = split_attempt_id(launch.attempt)
    step = plan.step_of(launch.node)
    inputs = {name: fingerprint(value) for name, value in launch.inputs.items()}
    return AttemptRecord(
        attempt=launch.attempt,
        run=run,
        node=node,
        number=number,
        token=launch.token,
        state="starting",
        workers=step.gang.workers,
        created_at=time,
        inputs=msgspec.json.encode(inputs),
        environment=_environment(step.preload, step.code.digest),
    )


def started_record(record: AttemptRecord, event: AttemptStarted) -> AttemptRecord:
    return msgspec.structs.replace(
        record,
        state="running",
        started_at=event.time,
        processes=msgspec.json.encode(event.processes),
    )


def ended_record(record: AttemptRecord, event: AttemptEnded) -> AttemptRecord:
    outcome = event.outcome
    return msgspec.structs.replace(
        record,
        state="ended",
        ended_at=event.time,
        cause=outcome.cause.value,
        message=outcome.message,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        line=outcome.line,
        traceback=outcome.traceback,
        peak_memory=outcome.peak_memory,
    )


def artifact_records(output: Value, attempt: str, time: float) -> list[ArtifactRecord]:
    return [
        ArtifactRecord(reference.digest, reference.type, reference.size, time, attempt)
        for reference in references(output)
    ]


@cache
def _environment(libraries: tuple[str, ...], code: str) -> bytes:
    """Versions an attempt ran with, as JSON."""
    versions = {
        "argosy": __version__,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "code": code,
    }
    for library in libraries:
        versions[library] = _version(library)
    return msgspec.json.encode(versions)


def _version(library: str) -> str:
    distributions = _distributions().get(library, [library])
    try:
        return metadata.version(distributions[0])
    except metadata.PackageNotFoundError:
        return "not installed"


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())
