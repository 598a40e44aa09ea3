"""``argosy runs``, ``show``, ``logs`` and ``cancel``."""

from __future__ import annotations

import time

from argosy.api.views import RunSummary, RunView
from argosy.cli.output import document, flush, say, table
from argosy.cli.output import show as line
from argosy.client.client import ControlClient
from argosy.client.resuming import find_run, logs_through_restarts
from argosy.clock import timestamp_text
from argosy.errors import NotFound
from argosy.home import Home
from argosy.units import format_duration


def _client() -> ControlClient:
    return ControlClient(Home.from_environment())


def runs(limit: int, as_json: bool) -> None:
    found = _client().runs(limit)
    if as_json:
        document(found)
    elif not found:
        say("no workflow has run on this home yet")
    else:
        columns = ("RUN", "WORKFLOW", "STATE", "STARTED", "TIME", "STEPS", "USER")
        table(columns, [_summary_row(summary) for summary in found])


def _summary_row(summary: RunSummary) -> tuple[str, ...]:
    steps = f"{summary.finished}/{summary.nodes}"
    extra = [f"{summary.cached} from cache"] if summary.cached else []
    extra += [f"{summary.failed} failed"] if summary.failed else []
    return (
        summary.run,
        summary.workflow,
        summary.state,
        timestamp_text(summary.created_at),
        _duration(summary.created_at, summary.ended_at),
        f"{steps} ({', '.join(extra)})" if extra else steps,
        summary.user,
    )


def show(run_id: str, as_json: bool) -> None:
    run = find_run(_client(), run_id)
    if as_json:
        document(run)
        return
    from argosy.cli.details import run_lines

    run_lines(run)


def logs(run_id: str, node: str | None, follow: bool) -> None:
    client = _client()
    run = find_run(client, run_id)
    if node is not None:
        _require_node(run, node)
    for entry in logs_through_restarts(client, run.run, node, follow, say):
        attempt = entry.attempt.rpartition(":")[2]
        number = f"#{attempt}" if attempt.isdigit() and attempt != "1" else ""
        rank = f".{entry.rank}" if entry.rank else ""
        prefix = f"{entry.node}{number}{rank} | " if node is None or rank or number else ""
        line(f"{prefix}{entry.text}")
        if follow:
            flush()


def _require_node(run: RunView, node: str) -> None:
    import difflib

    names = [found.node for found in run.nodes]
    if node in names:
        return
    close = difflib.get_close_matches(node, names, n=3, cutoff=0.5)
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise NotFound(
        f"run {run.run} has no node {node!r}",
        hint=f"did you mean {' or '.join(close)}?" if close else f"it has {shown}",
    )


def cancel(run_id: str, as_json: bool) -> None:
    client = _client()
    cancelled = client.cancel(find_run(client, run_id).run)
    if as_json:
        document(cancelled)
    elif cancelled.state == "running":
        line(f"run {cancelled.run} is being cancelled")
    else:
        line(f"run {cancelled.run} is {cancelled.state}")


def _duration(start: float, end: float | None) -> str:
    return format_duration(max(0.0, (time.time() if end is None else end) - start))
