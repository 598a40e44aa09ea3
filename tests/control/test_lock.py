"""One control plane a home, in a home that can be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.control.lock import HomeLock, prepare
from argosy.errors import Conflict, Unavailable
from argosy.home import Home


def test_a_second_holder_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "control.lock")
    lock.acquire()
    with pytest.raises(Conflict, match=f"pid {os.getpid()}"):
        HomeLock(tmp_path / "control.lock").acquire()
    lock.release()
    HomeLock(tmp_path / "control.lock").acquire()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from argosy.control.lock import HomeLock;"
        "HomeLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "control.lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=str(holder.pid)):
            HomeLock(path).acquire()
        holder.kill()
        holder.wait()
        HomeLock(path).acquire()


def test_a_home_is_made_for_its_owner_alone_and_making_it_again_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    prepare(home)
    prepare(home)
    assert home.run.stat().st_mode & 0o777 == 0o700
    assert list(home.run.iterdir()) == []


def test_a_home_that_is_a_file_is_refused_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.write_text("not a folder")
    with pytest.raises(Unavailable, match="is not a folder") as refusal:
        prepare(Home(path))
    assert "ARGOSY_HOME" in refusal.value.hint
