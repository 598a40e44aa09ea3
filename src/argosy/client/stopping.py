"""Stopping the control plane, and waiting until it is gone."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from argosy import errors
from argosy.api.process import (
    ControlProcess,
    control_log,
    is_alive,
    launcher_process,
    read_control_process,
)
from argosy.api.views import ShutdownView
from argosy.client.bootstrap import ensure_control_plane
from argosy.client.client import ControlClient
from argosy.client.transport import ConnectionLost, NotRunning
from argosy.home import Home

STOP_SECONDS = 60.0


def stop_control_plane(home: Home, keep_services: bool = False) -> ShutdownView | None:
    """Stop it and wait until its process is gone; what that ended, or None when nothing ran.

    What a control plane left behind that was killed, or told to keep it, is stopped too.
    Raises Unavailable if the process is still there after a minute.
    """
    deadline = time.monotonic() + STOP_SECONDS
    process = read_control_process(home)
    try:
        stopped = ControlClient(home).shut_down(keep_services)
    except NotRunning:
        if process is None or not is_alive(process):
            return None if keep_services else _stop_what_was_left(home, deadline)
        # It no longer listens and is not gone: somebody else is stopping it.
        stopped = ShutdownView(process.pid)
    except ConnectionLost:
        stopped = ShutdownView(process.pid if process else 0)
    process = read_control_process(home) or process
    if process is not None:
        _await_end(home, process, deadline)
    return stopped


def _stop_what_was_left(home: Home, deadline: float) -> ShutdownView | None:
    """Through a control plane: results that nobody has heard are taken in first.

    Where none can start (the disk is full, the home is read-only or of a newer Argosy), without one.
    """
    launcher = launcher_process(home)
    if launcher is None:
        return None
    try:
        stopped = ensure_control_plane(home).shut_down()
    except errors.ArgosyError:
        stopped = ShutdownView(0)
        _end_launcher(home, launcher, deadline)
    if process := read_control_process(home):
        _await_end(home, process, deadline)
    return stopped


def _end_launcher(home: Home, pid: int, deadline: float) -> None:
    log = home.logs / "launcher.log"
    _await(
        pid,
        lambda: launcher_process(home) == pid,
        deadline,
        f"the launcher (process {pid})",
        log,
        signal.SIGTERM,
    )


def _await_end(home: Home, process: ControlProcess, deadline: float) -> None:
    what = f"the control plane (process {process.pid})"
    _await(process.pid, lambda: is_alive(process), deadline, what, control_log(home))


def _await(
    pid: int,
    is_still: Callable[[], bool],
    deadline: float,
    what: str,
    log: Path,
    number: signal.Signals | None = None,
) -> None:
    """Wait until the process has ended, which ``number`` asks it to."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Only now is the pid known to stay this process's: the descriptor holds it.
        if not is_still():
            return
        if number is not None:
            signal.pidfd_send_signal(descriptor, number)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise errors.Unavailable(
                f"{what} is still stopping after {STOP_SECONDS:.0f} s",
                hint=f"{log} tells what it waits for",
            )
    finally:
        os.close(descriptor)
