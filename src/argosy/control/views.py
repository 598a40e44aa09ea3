"""From the store's rows to what the API shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from argosy.api.views import AttemptView, NodeView, Progress, RunSummary, RunView
from argosy.artifacts.reference import Inline, Many, Stored, Value
from argosy.engine.telemetry import LiveProgress
from argosy.metadata.records import AttemptRecord, NodeRecord, RunRecord

# A JSON output larger than this is shown as its reference.
_SHOWN_BYTES = 1 << 20


def attempt_view(record: AttemptRecord) -> AttemptView:
    return AttemptView(
        attempt=record.attempt,
        number=record.number,
        state=record.state,
        workers=record.workers,
        started_at=record.started_at or record.created_at,
        ended_at=record.ended_at,
        cause=record.cause,
        message=record.message,
        exit_code=record.exit_code,
        signal=record.signal,
        line=record.line,
        peak_memory=record.peak_memory,
    )


def node_view(
    record: NodeRecord, attempts: list[AttemptView], progress: Progress | None, reason: str
) -> NodeView:
    return NodeView(
        node=record.node,
        step=record.step,
        kind=record.kind,
        state=record.state,
        label=record.label,
        reason=record.reason or reason,
        memo=record.memo,
        created_at=record.created_at,
        started_at=record.started_at,
        ended_at=record.ended_at,
        progress=progress,
        attempts=attempts,
        output=msgspec.json.decode(record.output) if record.output else None,
        upstream=list(record.upstream),
    )


def progress_view(live: LiveProgress) -> Progress:
    return Progress(
        epoch=live.epoch,
        step=live.step,
        done=live.done,
        total=live.total,
        message=live.message,
        metrics=dict(live.metrics),
    )


def last_progress(
    latest: tuple[int | None, int, dict[str, float]] | None,
) -> LiveProgress | None:
    """What an attempt that has ended said last: (epoch, step, metrics)."""
    if latest is None:
        return None
    epoch, step, metrics = latest
    return LiveProgress(epoch=epoch, step=step, metrics=dict(metrics))


def run_view(
    record: RunRecord,
    nodes: list[NodeView],
    output: Callable[[Value], Any] | None = None,
    degraded: str = "",
) -> RunView:
    """``output`` turns the run's value into JSON; None leaves it out. ``degraded`` is why nothing can be
    committed now, which keeps every running run from going on."""
    held = f"held up: {degraded}" if degraded and record.state == "running" else ""
    value = msgspec.json.decode(record.output, type=Value) if record.output and output else None
    return RunView(
        run=record.run,
        workflow=record.workflow,
        state=record.state,
        created_at=record.created_at,
        ended_at=record.ended_at,
        parameters=msgspec.json.decode(record.graph, type=_Parameters).parameters,
        user=record.user,
        reason=record.reason or held,
        nodes=nodes,
        output=output(value) if output and value is not None else None,
    )


class _Parameters(msgspec.Struct):
    parameters: dict[str, Any]


def run_summary(record: RunRecord, counts: dict[str, int]) -> RunSummary:
    """``counts`` holds the run's nodes by state."""
    ended = ("succeeded", "cached", "failed", "skipped", "cancelled")
    return RunSummary(
        run=record.run,
        workflow=record.workflow,
        state=record.state,
        created_at=record.created_at,
        ended_at=record.ended_at,
        nodes=sum(counts.values()),
        finished=sum(counts.get(state, 0) for state in ended),
        cached=counts.get("cached", 0),
        failed=counts.get("failed", 0),
        user=record.user,
    )


def value_as_json(value: Value, read_json: Callable[[Value], Any]) -> Any:
    """A run's output: JSON where it is JSON, a reference where it is anything else."""
    match value:
        case Inline(json):
            return msgspec.json.decode(json)
        case Many(items):
            return [value_as_json(item, read_json) for item in items]
        case Stored(reference):
            if reference.type == "json" and reference.size <= _SHOWN_BYTES:
                return read_json(value)
            return {
                "artifact": reference.digest,
                "type": reference.type,
                "size": reference.size,
            }


def by_node(attempts: Iterable[AttemptRecord]) -> dict[str, list[AttemptView]]:
    grouped: dict[str, list[AttemptView]] = {}
    for record in attempts:
        grouped.setdefault(record.node, []).append(attempt_view(record))
    return grouped
