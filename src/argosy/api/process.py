"""How the control plane's process is started, found again, and known from a later one of the same pid.

The one who starts it passes ``--ready-fd N``. The child writes one :class:`Announcement` as a line of JSON
to N and closes it: ready, or the error that kept it from starting. While it serves,
``HOME/run/control.json`` holds its :class:`ControlProcess`.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from argosy.api.views import ErrorView
from argosy.home import Home


class ControlProcess(msgspec.Struct, frozen=True):
    """``start_ticks`` is the process's start time in clock ticks since boot, as in ``/proc/PID/stat``."""

    pid: int
    start_ticks: int
    version: str
    started_at: float


class Announcement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The child's one word to who started it."""

    ready: bool = False
    error: ErrorView | None = None


def control_file(home: Home) -> Path:
    return home.run / "control.json"


def control_log(home: Home) -> Path:
    return home.logs / "control.log"


def read_control_process(home: Home) -> ControlProcess | None:
    """The process that last served this home and may be gone; None if there is no readable record."""
    try:
        return msgspec.json.decode(control_file(home).read_bytes(), type=ControlProcess)
    except (OSError, msgspec.MsgspecError):
        return None


def write_control_process(home: Home, process: ControlProcess) -> None:
    """Replace the record in one step: a reader sees the old one or the new one, never a part."""
    temporary = home.run / f".control.json.{os.getpid()}"
    temporary.write_bytes(msgspec.json.encode(process))
    temporary.replace(control_file(home))


def announce(fd: int, announcement: Announcement) -> None:
    """Tell who started this process, and close ``fd``. Does nothing when nobody listens any more."""
    try:
        os.write(fd, msgspec.json.encode(announcement) + b"\n")
    except BrokenPipeError:
        pass
    finally:
        os.close(fd)


def start_ticks(pid: int) -> int | None:
    """When the process started; None when there is none, or only what its parent has not collected."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command in parentheses may itself hold spaces and parentheses.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


class _Launcher(msgspec.Struct, frozen=True):
    pid: int
    start_ticks: int


def launcher_process(home: Home) -> int | None:
    """The parent of what a control plane left to the next one, or was killed before; None if none lives."""
    try:
        launcher = msgspec.json.decode(home.launcher_record.read_bytes(), type=_Launcher)
    except (OSError, msgspec.MsgspecError):
        return None
    return launcher.pid if start_ticks(launcher.pid) == launcher.start_ticks else None


def is_alive(process: ControlProcess) -> bool:
    return start_ticks(process.pid) == process.start_ticks
