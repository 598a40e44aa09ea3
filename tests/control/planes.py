"""Real control planes for tests: started in a home of their own, killed, started again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from argosy.api.process import Announcement
from argosy.api.views import RunRequest, RunView
from argosy.client.client import ControlClient
from argosy.flow.graph import graph_to_json
from argosy.flow.loading import load
from argosy.home import Home

START_SECONDS = 30.0


def start_plane(home: Home, **environment: str) -> subprocess.Popen[bytes]:
    """A control plane that serves the home; AssertionError with its word when it does not come up."""
    home.logs.mkdir(parents=True, exist_ok=True)
    ready, child_end = os.pipe()
    command = [sys.executable, "-m", "argosy.control", "--home", str(home.root), "--ready-fd", str(child_end)]
    with (home.logs / "control.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(child_end,),
            env={**os.environ, **environment},
            start_new_session=True,
        )
    os.close(child_end)
    with os.fdopen(ready, "rb") as pipe:
        readable, _, _ = select.select([pipe], [], [], START_SECONDS)
        line = pipe.readline() if readable else b""
    if not line and process.wait(START_SECONDS) == -signal.SIGKILL:
        return process  # It reached its crash point while it started.
    announcement = msgspec.json.decode(line, type=Announcement)
    assert announcement.ready, announcement.error
    return process


@contextmanager
def plane(home: Home, **environment: str) -> Iterator[ControlClient]:
    """A control plane for the length of a test, stopped cleanly after it."""
    process = start_plane(home, **environment)
    client = ControlClient(home)
    try:
        yield client
    finally:
        stop_plane(home, process)


def stop_plane(home: Home, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)


def request(file: Path, workflow: str | None = None, **parameters: object) -> RunRequest:
    loaded = load(file, workflow)
    graph = loaded.workflow.trace(**parameters)
    return RunRequest(msgspec.json.decode(graph_to_json(graph)), loaded.source_files)


def finish(client: ControlClient, run: str) -> RunView:
    """The run's last view."""
    *_, last = client.watch(run)
    return last
