"""What came of a run, in a few lines."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from argosy.api.views import AttemptView, NodeView, RunView
from argosy.cli.progress.rows import mapped_node
from argosy.units import format_duration

_OUTPUT_CHARACTERS = 2000
_FAILURES_SHOWN = 5


def summary(run: RunView, file: str = "") -> list[str]:
    """The lines under a finished run. ``file`` is the user's workflow file, to name the line at fault."""
    lines = [f"run {run.run} {run.state}{_duration(run)}: {_counts(run)}"]
    if run.state == "succeeded" and run.output is not None:
        lines.append(f"result: {result_text(run.output)}")
    failures = _failures(run)
    for node in failures[:_FAILURES_SHOWN]:
        lines += failure_lines(run, node, file)
    if len(failures) > _FAILURES_SHOWN:
        lines.append(f"... and {len(failures) - _FAILURES_SHOWN} more; 'argosy show {run.run}' lists them")
    if run.state != "succeeded" and run.reason and not failures:
        lines.append(f"reason: {run.reason}")
    return lines


def failure_lines(run: RunView, node: NodeView, file: str = "") -> list[str]:
    attempt = node.attempts[-1] if node.attempts else None
    lines = [f"{node.node} failed: {cause_text(node, attempt)}"]
    if attempt is not None and attempt.line:
        lines.append(f"  at {file}:{attempt.line}" if file else f"  at line {attempt.line} of your code")
    if attempt is not None and len(node.attempts) > 1:
        lines.append(f"  after {len(node.attempts)} attempts")
    if attempt is not None:
        lines.append(f"  its log: argosy logs {run.run} {_quoted(node.node)}")
    return lines


def cause_text(node: NodeView, attempt: AttemptView | None) -> str:
    """The cause in words and what was said about it."""
    message = (attempt.message if attempt else "") or node.reason
    cause = attempt.cause.replace("_", " ") if attempt else ""
    if not cause or cause == "error" or message.startswith(cause):
        return message or cause or "no reason was recorded"
    return f"{cause}: {message}" if message else cause


def result_text(output: Any) -> str:
    text = json.dumps(output, ensure_ascii=False)
    if len(text) <= _OUTPUT_CHARACTERS:
        return text
    return f"{text[:_OUTPUT_CHARACTERS]}... ({len(text):,} characters; --json prints them all)"


def _duration(run: RunView) -> str:
    return "" if run.ended_at is None else f" in {format_duration(max(0.0, run.ended_at - run.created_at))}"


def _counts(run: RunView) -> str:
    mapped = {mapped_node(node.node) for node in run.nodes}
    counts = Counter(node.state for node in run.nodes if node.node not in mapped)
    words = {
        "succeeded": "done",
        "cached": "from cache",
        "failed": "failed",
        "skipped": "skipped",
        "cancelled": "cancelled",
    }
    parts = [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
    return ", ".join(parts) or "no steps"


def _failures(run: RunView) -> list[NodeView]:
    """Nodes that failed themselves: a mapped node fails by its instances, which are listed in its place."""
    failed = [node for node in run.nodes if node.state == "failed"]
    by_instances = {mapped_node(node.node) for node in failed}
    return [node for node in failed if node.node not in by_instances]


def _quoted(node: str) -> str:
    return f"'{node}'" if "[" in node else node
