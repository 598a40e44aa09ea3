"""Named places where a process can be told to die, so that tests prove recovery from each of them."""

from __future__ import annotations

import os
import signal

VARIABLE = "ARGOSY_CRASH_POINT"

_countdown: dict[str, int] = {}


def arm(setting: str | None) -> None:
    """Read ``name:n``: the process is killed (SIGKILL) the n-th time it passes ``name``. None disarms."""
    _countdown.clear()
    if setting:
        name, _, count = setting.partition(":")
        _countdown[name] = int(count or 1)


def pass_crash_point(name: str) -> None:
    """Die here if armed for it. Costs one look-up otherwise."""
    if name in _countdown:
        _countdown[name] -= 1
        if _countdown[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get(VARIABLE))
