"""Watching a run, or following its log, through a restart of the control plane."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from argosy import errors
from argosy.api.views import LogLine, RunView
from argosy.client.bootstrap import START_SECONDS, ensure_control_plane
from argosy.client.client import ControlClient, SeenLines
from argosy.client.transport import ConnectionLost, NotRunning, connectable
from argosy.home import Home

PATIENCE_SECONDS = 1.0
_POLL_SECONDS = 0.01
_FRUITLESS_RESTARTS = 5

Say = Callable[[str], None]


def watch_through_restarts(client: ControlClient, run: str, say: Say) -> Iterator[RunView]:
    """As ControlClient.watch, but a control plane that dies is waited for, then started again.

    ``say`` is told in a sentence of each loss. Raises Stopping when it was stopped on purpose, and
    ConnectionLost when it dies again and again.
    """
    losses = 0
    while True:
        try:
            for view in client.watch(run):
                losses = 0
                yield view
            return
        except (ConnectionLost, NotRunning) as error:
            losses += 1
            if losses > _FRUITLESS_RESTARTS:
                raise error
            _bring_back(client.home, say)


def logs_through_restarts(
    client: ControlClient, run: str, node: str | None, follow: bool, say: Say
) -> Iterator[LogLine]:
    """As ControlClient.logs, each line once; a control plane that dies is waited for, but not started."""
    seen = SeenLines()
    while True:
        try:
            seen.start_again()
            for line in client.logs(run, node, follow):
                if seen.is_new(line):
                    yield line
            return
        except ConnectionLost:
            if not follow:
                raise
            say("the control plane went away; waiting for it")
            # Whoever started it may take as long as a start may take.
            if not _wait(client.home, START_SECONDS):
                raise


def _bring_back(home: Home, say: Say) -> None:
    say("the control plane went away; waiting for it (the run is recorded and goes on)")
    if not _wait(home, PATIENCE_SECONDS):
        ensure_control_plane(home, started=lambda: say("starting the control plane again"))
    say("the control plane is back")


def _wait(home: Home, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not connectable(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def find_run(client: ControlClient, text: str) -> RunView:
    """The run whose id is ``text`` or, when that is none, the only one whose id begins with it."""
    if not text:
        raise errors.InvalidRequest("the id of a run is empty", hint="'argosy runs' lists them")
    try:
        return client.run(text)
    except errors.NotFound as error:
        return client.run(_full_id(client, text, error))


def _full_id(client: ControlClient, text: str, error: errors.NotFound) -> str:
    ids = [run.run for run in client.runs(limit=10_000)]
    matches = [run for run in ids if run.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise errors.InvalidRequest(
            f"run {text!r} may be any of {', '.join(matches[:5])}{', ...' if len(matches) > 5 else ''}",
            hint="write more of the id",
        ) from error
    raise errors.NotFound(f"there is no run {text!r}", hint=_nearest(text, ids)) from error


def _nearest(text: str, ids: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(text, ids, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "'argosy runs' lists them" if ids else "no workflow has run on this home yet"
