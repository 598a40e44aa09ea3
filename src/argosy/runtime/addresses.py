"""Where a home's launcher is found: its lock, its socket, and the record of who it was."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.home import Home
from argosy.runtime import linux

# In the environment of the launcher and of everything below it.
MARK = "ARGOSY_LAUNCHER"
_BACKLOG = 16


class LauncherRecord(msgspec.Struct, frozen=True):
    """``mark`` is in the environment of the launcher and of all it started."""

    pid: int
    start_ticks: int
    mark: str


def lock_path(home: Home) -> Path:
    return home.run / "launcher.lock"


def record_path(home: Home) -> Path:
    return home.launcher_record


def take_lock(home: Home) -> int | None:
    """The descriptor of the lock that only a launcher holds; None while one lives."""
    home.run.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_path(home), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a socket path that is longer than the 107 bytes the kernel takes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(home: Home) -> socket.socket:
    """The launcher's listening socket, in place of whatever an earlier one left. Needs the lock."""
    with contextlib.suppress(FileNotFoundError):
        home.launcher_socket.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _short(home.launcher_socket) as name:
            listener.bind(name)
        home.launcher_socket.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def connect(home: Home) -> socket.socket:
    """A connection to the launcher. Raises OSError when none listens."""
    connected = socket.socket(socket.AF_UNIX)
    try:
        with _short(home.launcher_socket) as name:
            connected.connect(name)
    except OSError:
        connected.close()
        raise
    return connected


def write_record(home: Home) -> None:
    pid = os.getpid()
    record = LauncherRecord(pid, linux.start_ticks(pid) or 0, os.environ.get(MARK, ""))
    with contextlib.suppress(OSError):
        temporary = home.run / f".launcher.json.{pid}"
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(record_path(home))


def read_record(home: Home) -> LauncherRecord | None:
    """The launcher that serves this home, or that served it last and did not end in order."""
    try:
        return msgspec.json.decode(record_path(home).read_bytes(), type=LauncherRecord)
    except (OSError, msgspec.MsgspecError):
        return None


def remove(home: Home) -> None:
    """Leave no trace, at an orderly end."""
    for path in (home.launcher_socket, record_path(home)):
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(OSError):
        (home.run / "trash").rmdir()
