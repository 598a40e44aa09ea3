"""``argosy run``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Protocol, Self

from argosy.api.codec import Stopping
from argosy.api.views import RunView
from argosy.cli.arguments import parse_target
from argosy.cli.output import document, say, show
from argosy.cli.workflows import run_request, trace_target
from argosy.client.bootstrap import ensure_control_plane
from argosy.client.client import ControlClient
from argosy.client.resuming import watch_through_restarts
from argosy.home import Home

INTERRUPTED = 130


class ProgressDisplay(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def update(self, run: RunView) -> None: ...
    def note(self, text: str) -> None: ...


def run(words: Sequence[str], *, detach: bool, as_json: bool) -> int:
    """Exit code 0 when the run succeeded or was detached, 1 when it did not, 130 when interrupted."""
    target = parse_target(words, "run")
    request = run_request(trace_target(target))
    client = ensure_control_plane(Home.from_environment(), started=lambda: say("starting the control plane"))
    started = client.submit(request)
    if detach:
        _tell_detached(started, as_json)
        return 0
    try:
        ended = _watch(client, started)
    except KeyboardInterrupt:
        if as_json:
            document(started)
        _tell_interrupted(started.run)
        return INTERRUPTED
    except Stopping as stopping:
        stopping.hint = (
            f"the run is recorded; 'argosy up' goes on with it, 'argosy show {started.run}' shows it"
        )
        raise
    if as_json:
        document(ended)
    else:
        from argosy.cli.progress.summary import summary

        for line in summary(ended, str(target.file)):
            show(line)
    return 0 if ended.state == "succeeded" else 1


def _watch(client: ControlClient, started: RunView) -> RunView:
    last = started
    with _display(started.run) as display:
        for view in watch_through_restarts(client, started.run, display.note):
            last = view
            display.update(view)
    return last


def _display(run: str) -> ProgressDisplay:
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from argosy.cli.progress.live import LiveProgress

        return LiveProgress()
    say(f"run {run}")
    from argosy.cli.progress.plain import PlainProgress

    return PlainProgress(say)


def _tell_detached(started: RunView, as_json: bool) -> None:
    if as_json:
        document(started)
        return
    show(started.run)
    say(f"hint: 'argosy show {started.run}' shows how it goes, 'argosy cancel {started.run}' ends it")


def _tell_interrupted(run: str) -> None:
    say(f"\nrun {run} goes on in the background")
    say(f"hint: 'argosy logs {run} --follow' follows it, 'argosy cancel {run}' ends it")
