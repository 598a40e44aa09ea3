"""The control plane killed at every commit boundary: each run gives the result of an undisturbed one."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from argosy.api.views import RunRequest, RunView
from argosy.client.client import ControlClient
from argosy.client.transport import ConnectionLost, NotRunning
from argosy.crash_points import VARIABLE
from argosy.home import Home

from .planes import finish, plane, request, start_plane, stop_plane

WORKFLOW = Path(__file__).with_name("crashing.py")
POINTS = ("engine.before_commit", "engine.after_commit", "engine.after_act")
COMMITS = range(1, 13)


def submit_into_crash(home: Home, wanted: RunRequest) -> str | None:
    """The run's id, or None when the control plane died before it could say."""
    try:
        return ControlClient(home).submit(wanted).run
    except (ConnectionLost, NotRunning):
        return None


def await_death(process: subprocess.Popen[bytes], client: ControlClient, run: str | None) -> bool:
    """Whether it died of its crash point; False when the run ended before the point was reached."""
    if run is not None:
        try:
            finish(client, run)
        except (ConnectionLost, NotRunning):
            run = None
    if run is None:
        assert process.wait(10) == -signal.SIGKILL
    return run is None


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_control_plane_killed_at_any_commit_resumes_to_the_same_result(point: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for commit in COMMITS:
        witness = tmp_path / f"witness-{commit}"
        wanted = request(WORKFLOW, witness=str(witness), start=commit)
        process = start_plane(home, **{VARIABLE: f"{point}:{commit}"})
        run = submit_into_crash(home, wanted)
        died = await_death(process, ControlClient(home), run)
        if not died:
            stop_plane(home, process)
            assert commit > 3, f"{point} was passed only {commit - 1} times"
            return
        with plane(home) as client:
            check_resumed(client, run, witness, commit)


def check_resumed(client: ControlClient, run: str | None, witness: Path, start: int) -> None:
    known = [summary.run for summary in client.runs() if summary.state == "running"]
    if run is None and not known:
        # Killed before the submission was committed, and nobody was told that it was.
        assert not witness.exists()
        return
    view = finish(client, run or known[0])
    assert (view.state, view.output) == ("succeeded", 6 * start + 6 + start), view
    check_witness(view, witness)


def check_witness(view: RunView, witness: Path) -> None:
    """A step ran as often as its attempts were started, and nothing that had been committed ran again."""
    ran = Counter(line.split()[0] for line in witness.read_text().splitlines())
    finished = Counter(
        node.step for node in view.nodes for attempt in node.attempts if attempt.cause == "succeeded"
    )
    assert finished == {"first": 1, "double": 3, "flaky": 1, "total": 1}
    assert ran["first"] == 1
    assert ran["total"] == 1
    assert ran["double"] == 3
    assert ran["flaky"] == 2
