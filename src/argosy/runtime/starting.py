"""Starts a home's launcher, and ends what an earlier one left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import argosy
from argosy.errors import Unavailable
from argosy.home import Home
from argosy.runtime import addresses, linux
from argosy.runtime.addresses import MARK

_SWEEP_SECONDS = 10.0
_FIRST_DESCRIPTOR = 10
_GIVEN = ("--lock-fd", "3", "--listen-fd", "4")

# Launchers this process started: it is their parent, and the one to collect their exit.
_started: set[int] = set()


def launcher_log(home: Home) -> Path:
    return home.logs / "launcher.log"


def collect() -> None:
    """Take note of the ends of launchers that this process started."""
    for pid in list(_started):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        _started.discard(pid)


def none_lives(home: Home) -> bool:
    try:
        lock = addresses.take_lock(home)
    except OSError:
        return True
    if lock is not None:
        os.close(lock)
    return lock is not None


def start_if_none(home: Home, known: Iterable[tuple[int, int]] = ()) -> bool:
    """Start the launcher unless one lives. True when none lived; its predecessor's processes are gone then.

    ``known`` are processes (pid, start time in clock ticks) that the predecessor had started. The new one's
    socket listens when this returns. Raises Unavailable when the home can not be written.
    """
    try:
        lock = addresses.take_lock(home)
    except OSError as error:
        raise _not_started(home, error) from error
    if lock is None:
        return False
    try:
        end_leftovers(home, known)
        with addresses.listen(home) as listener:
            _start(home, lock, listener)
    except OSError as error:
        raise _not_started(home, error) from error
    finally:
        os.close(lock)
    return True


def _not_started(home: Home, error: OSError) -> Unavailable:
    return Unavailable(
        f"the launcher of {home.root} can not be started: {error.strerror or error}",
        hint="check that the folder can be written and its disk is not full, or set ARGOSY_HOME",
        context={"home": str(home.root), "errno": error.errno},
    )


def _start(home: Home, lock: int, listener: socket.socket) -> None:
    # High numbers first, so that placing one does not overwrite another.
    high = [
        fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
        for descriptor in (lock, listener.fileno(), _open_log(home))
    ]
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "argosy.runtime.launcher", str(home.root), *_GIVEN],
            _environment(home),
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, high[2], 1),
                (os.POSIX_SPAWN_DUP2, high[2], 2),
                (os.POSIX_SPAWN_DUP2, high[0], 3),
                (os.POSIX_SPAWN_DUP2, high[1], 4),
            ],
        )
    finally:
        for descriptor in high:
            os.close(descriptor)
    _started.add(pid)


def _open_log(home: Home) -> int:
    """A full disk must not keep the launcher from starting."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        home.logs.mkdir(parents=True, exist_ok=True)
        return os.open(launcher_log(home), flags, 0o644)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _environment(home: Home) -> dict[str, str]:
    """This process's own, with the packages it sees and nothing relative to where it stands."""
    package = Path(argosy.__file__).resolve().parent.parent
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(Path(path).absolute()) for path in given if path]
    if str(package) not in paths and "site-packages" not in package.parts:
        paths.append(str(package))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "ARGOSY_HOME": str(home.root),
        MARK: os.urandom(8).hex(),
    }


def end_leftovers(home: Home, known: Iterable[tuple[int, int]]) -> None:
    """Kill whatever the launcher that served last, and did not end in order, has left. Needs the lock."""
    record = addresses.read_record(home)
    entry = f"{MARK}={record.mark}".encode() if record and record.mark else b""
    # A process that is about to end has no environment any more, so that what was seen is waited for by pid.
    left = set(known)
    deadline = time.monotonic() + _SWEEP_SECONDS
    while time.monotonic() < deadline:
        left |= {(pid, linux.start_ticks(pid) or 0) for pid in linux.pids_with_environment(entry)}
        left = {(pid, ticks) for pid, ticks in left if linux.start_ticks(pid) == ticks}
        if not left:
            return
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
