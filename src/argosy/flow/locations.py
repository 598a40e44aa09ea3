"""Where in the user's code something was written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType, FunctionType, TracebackType
from typing import NamedTuple

_ROOM = f"{Path(__file__).parent}{os.sep}"
_ARGOSY = f"{Path(__file__).parents[1]}{os.sep}"


class Location(NamedTuple):
    """A line of a file; ``file`` is the path Python knows it by."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def within(self, root: Path) -> Location:
        """The same line, its file relative to ``root`` when it is in there."""
        return self._replace(file=self.file.removeprefix(f"{root}{os.sep}"))


NOWHERE = Location("", 0)


def caller(root: Path | None = None) -> Location:
    """The innermost line outside this package that is being executed, below ``root`` if there is one."""
    prefix = f"{root}{os.sep}" if root else ""
    found = NOWHERE
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_ROOM):
            if file.startswith(prefix):
                return Location(file, frame.f_lineno)
            found = found if found.file else Location(file, frame.f_lineno)
        frame = frame.f_back
    return found


def definition(function: FunctionType) -> Location:
    """The line of a function's ``def``, or of its first decorator."""
    return Location(function.__code__.co_filename, function.__code__.co_firstlineno)


def raised_at(trace: TracebackType | None, root: Path) -> Location | None:
    """The innermost line under ``root`` that an exception passed through."""
    found = None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if Path(file).is_relative_to(root) and not file.startswith(_ARGOSY):
            found = Location(file, trace.tb_lineno)
        trace = trace.tb_next
    return found
