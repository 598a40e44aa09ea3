"""A run in full, for people."""

from __future__ import annotations

import time
from typing import Any

from argosy.api.views import AttemptView, NodeView, RunView
from argosy.cli.output import show, table
from argosy.cli.progress.rows import Row, first_line, rows
from argosy.cli.progress.summary import cause_text, failure_lines, result_text
from argosy.clock import timestamp_text
from argosy.units import format_duration, format_memory

_LARGEST_GROUP = 100
_SECTION_LINES = 50
_NAMES_SHOWN = 5


def run_lines(run: RunView) -> None:
    show(f"run       {run.run}")
    show(f"workflow  {run.workflow}")
    show(f"state     {run.state}{f', {first_line(run.reason)}' if run.reason else ''}")
    show(f"started   {timestamp_text(run.created_at)}{f' by {run.user}' if run.user else ''}")
    show(f"time      {format_duration(max(0.0, (run.ended_at or time.time()) - run.created_at))}")
    for name, value in run.parameters.items():
        show(f"--{name} {result_text(value)}")
    if run.output is not None:
        show(f"result    {result_text(run.output)}")
    show()
    table(("NODE", "STATE", "TIME", "DETAIL"), [_cells(row) for row in rows(run, _LARGEST_GROUP)])
    _section("attempts", _attempts(run))
    _section("reuse", _memos(run))
    _section("outputs", [f"{node.node}: {text}" for node in run.nodes if (text := output_text(node.output))])
    failed = [node for node in run.nodes if node.state == "failed"]
    _section("failures", [line for node in failed for line in failure_lines(run, node)])


def _section(title: str, lines: list[str]) -> None:
    if not lines:
        return
    show(f"\n{title}:")
    for line in lines[:_SECTION_LINES]:
        show(f"  {line}")
    if len(lines) > _SECTION_LINES:
        show(f"  ... and {len(lines) - _SECTION_LINES} more; --json prints them all")


def _cells(row: Row) -> tuple[str, ...]:
    seconds = None if row.state == "cached" else row.seconds(time.time())
    return row.name, row.state, "" if seconds is None else format_duration(seconds), row.detail


def _memos(run: RunView) -> list[str]:
    """Why each node was or was not reused, nodes of one reason together."""
    nodes: dict[str, list[str]] = {}
    for node in run.nodes:
        if node.memo:
            nodes.setdefault(node.memo, []).append(node.node)
    return [f"{_some(names)}: {memo}" for memo, names in nodes.items()]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"


def _attempts(run: RunView) -> list[str]:
    """Every attempt but those that simply succeeded at the first try."""
    return [
        f"{node.node} #{attempt.number}: {_attempt(node, attempt)}"
        for node in run.nodes
        for attempt in node.attempts
        if len(node.attempts) > 1 or attempt.cause != "succeeded"
    ]


def _attempt(node: NodeView, attempt: AttemptView) -> str:
    words = [attempt.state if not attempt.cause else cause_text(node, attempt)]
    if attempt.workers > 1:
        words.append(f"{attempt.workers} workers")
    if attempt.started_at is not None and attempt.ended_at is not None:
        words.append(format_duration(max(0.0, attempt.ended_at - attempt.started_at)))
    if attempt.exit_code:
        words.append(f"exit code {attempt.exit_code}")
    if attempt.signal is not None:
        words.append(f"signal {attempt.signal}")
    if attempt.peak_memory:
        words.append(f"peak memory {format_memory(attempt.peak_memory)}")
    return ", ".join(words)


def output_text(output: Any) -> str:
    """A node's output, short: JSON as it is, an artifact by type, size and the beginning of its digest."""
    match output:
        case {"type": "stored", "reference": {"digest": str(digest), "type": str(kind), "size": int(size)}}:
            return f"{kind} {digest[:12]} ({format_memory(size)})"
        case {"type": "inline", "json": value}:
            return result_text(value)
        case {"type": "many", "items": list(items)}:
            shown = ", ".join(output_text(item) for item in items[:5])
            return f"[{shown}{f', ... {len(items)} in all' if len(items) > 5 else ''}]"
        case None:
            return ""
        case _:
            return result_text(output)
