"""A run's nodes as the rows of a table: one a node, one for many nodes of one step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from argosy.api.views import NodeView, Progress, RunView

LARGEST_GROUP = 12
"""More nodes of one step than this are shown as one row."""

ENDED = frozenset({"succeeded", "cached", "failed", "skipped", "cancelled"})
_ACTIVE = ("running", "backoff", "queued")
_COUNTED = {
    "failed": "failed",
    "running": "running",
    "backoff": "to be tried again",
    "queued": "queued",
    "waiting": "waiting",
    "succeeded": "done",
    "cached": "from cache",
    "skipped": "skipped",
    "cancelled": "cancelled",
}
_METRICS_SHOWN = 5
_FIRST_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "examples_per_second")


@dataclass(frozen=True, slots=True)
class Row:
    """``detail`` says why, how far, or what came of it. ``nodes`` is how many nodes the row stands for."""

    name: str
    state: str
    detail: str
    started_at: float | None = None
    ended_at: float | None = None
    nodes: int = 1
    epoch: int | None = None
    attempt: int = 1

    def seconds(self, now: float) -> float | None:
        """How long it has run, or ran; None if it never started."""
        if self.started_at is None:
            return None
        return max(0.0, (now if self.ended_at is None else self.ended_at) - self.started_at)


def rows(run: RunView, largest_group: int = LARGEST_GROUP) -> list[Row]:
    """In the order of the graph, a group at the place of its first node."""
    mapped = {base for node in run.nodes if (base := mapped_node(node.node))}
    groups: dict[str, list[NodeView]] = {}
    for node in run.nodes:
        if node.node not in mapped:
            groups.setdefault(node.step, []).append(node)
    large = {step for step, nodes in groups.items() if len(nodes) > largest_group}
    shown: list[Row] = []
    for node in run.nodes:
        if node.step not in large:
            shown.append(node_row(node))
        elif node is groups[node.step][0]:
            shown.append(_group_row(node.step, groups[node.step]))
    return shown


def mapped_node(node: str) -> str:
    """``train`` of the instance ``train[3]``; empty for what is no instance."""
    return node.partition("[")[0] if node.endswith("]") else ""


def node_row(node: NodeView) -> Row:
    attempt = node.attempts[-1].number if node.attempts else 1
    return Row(
        name=f"{node.node} ({node.label})" if node.label and node.label != node.node else node.node,
        state=node.state,
        detail=_detail(node, attempt),
        started_at=node.started_at,
        ended_at=node.ended_at,
        epoch=node.progress.epoch if node.progress and node.state == "running" else None,
        attempt=attempt,
    )


def _detail(node: NodeView, attempt: int) -> str:
    match node.state:
        case "running":
            parts = [f"attempt {attempt}"] if attempt > 1 else []
            parts += progress_parts(node.progress) if node.progress else []
            return " · ".join(parts) or first_line(node.reason)
        case "succeeded":
            return " · ".join(metric_parts(node.progress.metrics)) if node.progress else ""
        case "cached":
            return first_line(node.memo or node.reason)
        case _:
            return first_line(node.reason)


def progress_parts(progress: Progress) -> list[str]:
    """``epoch 2``, ``step 340``, ``40/100``, ``loss 0.412``, ...: whatever is known."""
    parts = []
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch}")
    if progress.step is not None:
        parts.append(f"step {progress.step:,}")
    if progress.done is not None and progress.total:
        parts.append(f"{progress.done:,.6g}/{progress.total:,.6g}")
    if progress.message:
        parts.append(first_line(progress.message))
    return parts + metric_parts(progress.metrics)


def metric_parts(metrics: Mapping[str, float | None]) -> list[str]:
    known = [name for name in _FIRST_METRICS if name in metrics]
    names = known + sorted(set(metrics) - set(known))
    return [_metric(name, metrics[name]) for name in names[:_METRICS_SHOWN]]


def _metric(name: str, value: float | None) -> str:
    words = name.replace("_", " ")
    if value is None:
        return f"{words} not a number"
    if name.endswith("_per_second"):
        return f"{value:,.0f} {words.removesuffix(' per second')}/s"
    return f"{words} {value:.4g}"


def _group_row(step: str, nodes: list[NodeView]) -> Row:
    counts = Counter(node.state for node in nodes)
    state = _group_state(counts)
    detail = " · ".join(f"{counts[name]:,} {words}" for name, words in _COUNTED.items() if counts[name])
    failed = next((node for node in nodes if node.state == "failed"), None)
    return Row(
        name=f"{step} ×{len(nodes):,}",
        state=state,
        detail=f"{detail}; {failed.node}: {first_line(failed.reason)}" if failed else detail,
        started_at=min(_known(node.started_at for node in nodes), default=None),
        ended_at=max(_known(node.ended_at for node in nodes), default=None) if state in ENDED else None,
        nodes=len(nodes),
    )


def _group_state(counts: Counter[str]) -> str:
    for state in _ACTIVE:
        if counts[state]:
            return state
    if counts["waiting"]:
        return "waiting" if counts["waiting"] == counts.total() else "running"
    for state in ("failed", "cancelled", "skipped", "succeeded"):
        if counts[state]:
            return state
    return "cached"


def _known(times: Iterable[float | None]) -> list[float]:
    return [time for time in times if time is not None]


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def fitted(shown: list[Row], height: int) -> tuple[list[Row], int]:
    """At most ``height`` rows, and how many are left out: first what is done, then what waits."""
    if len(shown) <= height:
        return shown, 0
    interest = {"failed": 0, "running": 1, "backoff": 2, "queued": 3, "cancelled": 4, "waiting": 5}
    ranked = sorted(range(len(shown)), key=lambda index: interest.get(shown[index].state, 6))
    kept = sorted(ranked[: max(1, height - 1)])
    return [shown[index] for index in kept], len(shown) - len(kept)
