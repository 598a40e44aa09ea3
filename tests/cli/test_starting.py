"""Starting the control plane, losing it, and finding it again."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from .conftest import Command, filtered


def _read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if word in line:
            return seen
    raise AssertionError(f"{word!r} did not come: {seen}")


def test_two_who_run_at_once_start_one_control_plane(argosy: Command) -> None:
    both = [argosy.start("run", "hello.py", "--json") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert argosy.starts() == 1
    assert sum("starting the control plane" in err for _, err in ends) == 1
    assert len(argosy("runs", "--json").document) == 2


def test_a_control_plane_that_dies_at_the_start_gives_its_last_words(argosy: Command) -> None:
    result = argosy("run", "hello.py", FAKE_START="die")
    assert result.code == 2
    assert filtered(result.err).splitlines()[2:] == [
        "error: the control plane ended while it was starting (exit code 3):",
        "  OSError: the sky is falling",
        "hint: its log is <home>/logs/control.log",
    ]


def test_only_the_last_start_is_quoted_from_the_log(argosy: Command) -> None:
    argosy("up", FAKE_START="die")
    assert argosy("up", FAKE_START="die").err.count("the sky is falling") == 1


def test_a_control_plane_that_refuses_the_home_says_why(argosy: Command) -> None:
    result = argosy("up", FAKE_START="newer")
    assert (result.code, filtered(result.err)) == (
        2,
        "error: the home <home> was written by a newer Argosy\nhint: use that Argosy, or another home\n",
    )
    assert argosy("up", "--json", FAKE_START="newer").document["error"]["code"] == "conflict"


def test_a_control_plane_of_another_version_takes_no_runs_but_can_be_stopped(argosy: Command) -> None:
    assert argosy("up", FAKE_VERSION="9.9.9").code == 0
    result = argosy("run", "hello.py")
    assert result.code == 2
    assert "the control plane of this home is Argosy 9.9.9, and this request comes from 0.1.0" in result.err
    assert "hint: stop the control plane with 'argosy down'" in result.err
    assert argosy("down").code == 0


def test_a_run_is_watched_on_when_the_control_plane_is_killed(argosy: Command) -> None:
    watching = argosy.start("run", "hello.py", "--outcome", "hang")
    _read_until(watching, "running")
    argosy.kill_control_plane()
    seen = _read_until(watching, "the control plane is back")
    assert "the control plane went away" in seen
    (argosy.home / "release").touch()
    out, _ = watching.communicate(timeout=60)
    assert (watching.returncode, argosy.starts()) == (0, 2)
    assert out.startswith("run hello-0001 succeeded")


def test_a_control_plane_that_somebody_else_starts_again_is_not_started_twice(argosy: Command) -> None:
    watching = argosy.start("run", "hello.py", "--outcome", "hang")
    _read_until(watching, "running")
    argosy.kill_control_plane()
    assert argosy("up").code == 0
    _read_until(watching, "the control plane is back")
    (argosy.home / "release").touch()
    watching.communicate(timeout=60)
    assert (watching.returncode, argosy.starts()) == (0, 2)


def test_a_stop_on_purpose_ends_the_watching_and_starts_nothing(argosy: Command) -> None:
    watching = argosy.start("run", "hello.py", "--outcome", "hang", "--json")
    _read_until(watching, "running")
    assert "runs: hello-0001" in argosy("down").out
    out, _ = watching.communicate(timeout=60)
    assert watching.returncode != 0
    assert '"code": "stopping"' in out
    assert argosy.starts() == 1


def test_an_interrupted_watch_leaves_the_run_and_says_how_to_follow_it(argosy: Command) -> None:
    watching = argosy.start("run", "hello.py", "--outcome", "hang", "--json")
    _read_until(watching, "running")
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert json.loads(out)["run"] == "hello-0001"
    assert "run hello-0001 goes on in the background" in err
    assert "'argosy logs hello-0001 --follow'" in err
    assert argosy("show", "hello-0001", "--json").document["state"] == "running"


def test_logs_that_are_followed_give_each_line_once_through_a_restart(argosy: Command) -> None:
    argosy("run", "hello.py", "--detach", "--outcome", "hang")
    following = argosy.start("logs", "hello-0001", "--follow")
    assert following.stdout is not None
    first = [following.stdout.readline() for _ in range(3)]
    argosy.kill_control_plane()
    assert argosy("up").code == 0
    (argosy.home / "release").touch()
    out, _ = following.communicate(timeout=60)
    lines = [*first, *out.splitlines(keepends=True)]
    assert sorted(lines) == sorted(
        f"{n} | {n} {word}\n" for n in ("greet", "shout", "join") for word in ("begins", "ends")
    )


def test_a_dead_socket_and_a_stale_record_are_no_obstacle(argosy: Command) -> None:
    argosy("up")
    argosy.kill_control_plane()
    assert filtered(argosy("down").out) == "nothing runs on <home>\n"
    assert argosy("up").code == 0


def test_a_home_with_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    long = Command(tmp_path / "work", tmp_path / ("long-" * 30) / ("name-" * 20) / "home")
    assert long("run", "hello.py").code == 0
    long.close()
