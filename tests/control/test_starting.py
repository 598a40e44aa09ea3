"""A start that fails says why and leaves nothing behind; nor does a stop after a control plane was killed.
One that has nothing to do does nothing."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from argosy.api.process import control_log
from argosy.client.bootstrap import ensure_control_plane
from argosy.client.stopping import stop_control_plane
from argosy.errors import InvalidInput, Unavailable
from argosy.home import Home

from .planes import plane, start_plane, stop_plane


def _assert_nothing_left(home: Home) -> None:
    deadline = time.monotonic() + 10
    while found := _processes_of(home):
        assert time.monotonic() < deadline, found
        os.sched_yield()


def _processes_of(home: Home) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(home.root) in command:
            found.append(" ".join(command))
    return found


def test_a_database_that_is_damaged_inside_is_told_and_no_process_is_left(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with plane(home):
        pass
    with sqlite3.connect(home.database) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'runs'"
        pages = [page for (page,) in connection.execute(query)]
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with home.database.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(os.urandom(size))
    with pytest.raises(InvalidInput, match="is damaged"):
        ensure_control_plane(home)
    _assert_nothing_left(home)
    assert not home.control_socket.exists()


def test_a_socket_that_can_not_be_made_is_told_and_no_process_is_left(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.control_socket.mkdir(parents=True)
    with pytest.raises(Unavailable, match="the home"):
        ensure_control_plane(home)
    _assert_nothing_left(home)


def test_down_stops_what_a_killed_control_plane_left(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    process = start_plane(home)
    process.kill()
    process.wait()
    assert _processes_of(home) != []
    assert stop_control_plane(home) is not None
    _assert_nothing_left(home)
    assert stop_control_plane(home) is None


def test_down_stops_what_was_left_in_a_home_where_none_can_start(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    process = start_plane(home)
    process.kill()
    process.wait()
    control_log(home).unlink()
    control_log(home).mkdir()
    with pytest.raises(Unavailable, match="the home"):
        ensure_control_plane(home)
    assert _processes_of(home) != []
    assert stop_control_plane(home) is not None
    _assert_nothing_left(home)


def test_down_stops_what_an_earlier_one_was_told_to_keep(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with plane(home):
        assert stop_control_plane(home, keep_services=True) is not None
        assert _processes_of(home) != []
    assert stop_control_plane(home, keep_services=True) is None
    assert stop_control_plane(home) is not None
    _assert_nothing_left(home)


def test_a_control_plane_with_nothing_to_do_sleeps(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    process = start_plane(home)
    try:
        # It is busy with its start at first, for longer on a busy machine.
        assert any(_sleeps(process) for _ in range(60))
    finally:
        stop_plane(home, process)


def _sleeps(process: subprocess.Popen[bytes]) -> bool:
    """Whether it wakes up less than ten times a second for a while."""
    before = _wake_ups(process.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    return _wake_ups(process.pid) - before <= 1


def _wake_ups(pid: int) -> int:
    found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1])
