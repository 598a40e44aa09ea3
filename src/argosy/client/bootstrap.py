"""Starting the control plane when none runs: exactly one, however many ask at once."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from argosy import errors
from argosy.api.codec import error_from_view
from argosy.api.process import Announcement, control_log, is_alive, read_control_process
from argosy.client.client import ControlClient
from argosy.client.transport import connectable
from argosy.home import Home

CONTROL_MODULE = "argosy.control"
START_SECONDS = 20.0
_POLL_SECONDS = 0.01
_LOG_LINES = 10


def ensure_control_plane(home: Home, started: Callable[[], None] = lambda: None) -> ControlClient:
    """A client of the home's control plane, which is started if none runs.

    ``started`` is called once if this process is the one that starts it. Raises Unavailable with the
    reason if the home can not be used, or if it does not answer within 20 seconds.
    """
    _require_linux()
    if not connectable(home):
        deadline = time.monotonic() + START_SECONDS
        _make_folders(home)
        with _start_lock(home, deadline) as mine:
            if mine and not _came_up(home, deadline):
                started()
                _start(home, deadline)
    return ControlClient(home)


def _require_linux() -> None:
    # Not `sys.platform == ...`: mypy would take everything after it for dead code.
    if not sys.platform.startswith("linux"):
        raise errors.Unavailable(
            f"the embedded engine needs Linux, and this is {sys.platform}",
            hint="run Argosy in a Linux machine or container; `argosy graph` works everywhere",
        )


def _make_folders(home: Home) -> None:
    try:
        for folder in (home.root, home.run, home.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise home.unusable(error) from error


@contextmanager
def _start_lock(home: Home, deadline: float) -> Iterator[bool]:
    """True with the right to start; False as soon as another who held it has started one."""
    try:
        lock = os.open(home.run / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise home.unusable(error) from error
    try:
        yield _acquire(lock, home, deadline)
    finally:
        os.close(lock)


def _acquire(lock: int, home: Home, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if connectable(home):
                return False
        else:
            return True
        if time.monotonic() > deadline:
            raise _too_slow(home)
        time.sleep(_POLL_SECONDS)


def _came_up(home: Home, deadline: float) -> bool:
    """Whether one serves by now; one that is neither serving nor gone is stopping, and is waited for."""
    while not connectable(home):
        process = read_control_process(home)
        if process is None or not is_alive(process):
            return False
        if time.monotonic() > deadline:
            raise _too_slow(home)
        time.sleep(_POLL_SECONDS)
    return True


def _start(home: Home, deadline: float) -> None:
    log, log_start = _open_log(home)
    ready, child_end = os.pipe()
    try:
        try:
            child = _spawn(home, log, child_end)
        finally:
            os.close(child_end)
            os.close(log)
        announcement = _await_announcement(home, child, ready, deadline)
    finally:
        os.close(ready)
    if announcement is None:
        raise _died(home, child, log_start)
    if announcement.error is not None:
        raise error_from_view(announcement.error)
    while not connectable(home):
        if time.monotonic() > deadline:
            raise _too_slow(home)
        time.sleep(_POLL_SECONDS)


def _open_log(home: Home) -> tuple[int, int]:
    try:
        log = os.open(control_log(home), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise home.unusable(error) from error
    return log, os.fstat(log).st_size


def _spawn(home: Home, log: int, ready: int) -> int:
    """The child in a session of its own, so that neither Ctrl-C nor a closed terminal reaches it."""
    os.set_inheritable(ready, True)
    # -P: a file in the user's folder must not stand in for a module of Python's own.
    command = [sys.executable, "-P", "-m", CONTROL_MODULE, "--home", str(home.root), "--ready-fd", str(ready)]
    return os.posix_spawn(
        sys.executable,
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setsid=True,
    )


def _await_announcement(home: Home, child: int, ready: int, deadline: float) -> Announcement | None:
    """The child's word, or None if it ended without one."""
    process = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        poll.register(process, select.POLLIN)
        text = b""
        while not text.endswith(b"\n"):
            events = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            if not events:
                raise _too_slow(home)
            if ready in events:
                part = os.read(ready, 65536)
                text += part
                if not part:
                    return None
            elif process in events:
                return None
        return msgspec.json.decode(text, type=Announcement)
    except msgspec.MsgspecError:
        return None
    finally:
        os.close(process)


def _died(home: Home, child: int, log_start: int) -> errors.Unavailable:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    end = f"signal {-code}" if code < 0 else f"exit code {code}"
    with control_log(home).open("rb") as file:
        file.seek(log_start)
        lines = file.read().decode(errors="replace").strip().splitlines()[-_LOG_LINES:]
    said = "".join(f"\n  {line}" for line in lines)
    return errors.Unavailable(
        f"the control plane ended while it was starting ({end}){':' if said else ''}{said}",
        hint=f"its log is {control_log(home)}",
    )


def _too_slow(home: Home) -> errors.Unavailable:
    return errors.Unavailable(
        f"the control plane of {home.root} did not start within {START_SECONDS:.0f} s",
        hint=f"{control_log(home)} tells what it is doing; 'argosy status' asks again",
    )
