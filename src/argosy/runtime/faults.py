"""From an exception in a rank to an outcome that a person can act on."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from types import TracebackType

import argosy
from argosy.errors import ArgosyError, CorruptArtifact
from argosy.runtime.protocol import Cause, Outcome, StepCall

_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 32_000
_MACHINERY = tuple(f"{Path(argosy.__file__).parent / room}{os.sep}" for room in ("runtime", "flow"))


def of_step(error: BaseException, source: str, rank: int) -> Outcome:
    """The step (or what it called) raised."""
    if isinstance(error, MemoryError):
        cause = Cause.OUT_OF_MEMORY
    elif isinstance(error, CorruptArtifact):
        cause = Cause.CORRUPT_INPUT
    else:
        cause = Cause.ERROR
    return _outcome(cause, error, source, rank, message_of(error))


def of_import(error: BaseException, call: StepCall, source: str, rank: int) -> Outcome:
    """The user's module could not be imported, or has no such step."""
    if not Path(source).is_dir():
        message = f"the snapshot of the code {call.source[:12]!r} is gone\nhint: run the workflow again"
        return Outcome(Cause.IMPORT_ERROR, message, rank=rank, error_type=type(error).__name__)
    if _user_line(error, source) is None and isinstance(error, AttributeError):
        message = f"module {call.module!r} has no step {call.function!r}"
        return Outcome(Cause.IMPORT_ERROR, message, rank=rank, error_type=type(error).__name__)
    cause = Cause.OUT_OF_MEMORY if isinstance(error, MemoryError) else Cause.IMPORT_ERROR
    message = f"{call.module} can not be imported: {message_of(error)}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        message += f"\nhint: install {error.name.partition('.')[0]} into the environment that runs Argosy"
    return _outcome(cause, error, source, rank, message)


def of_exit(error: SystemExit, source: str, rank: int) -> Outcome:
    """The step called sys.exit."""
    code = exit_code(error)
    message = f"the step called sys.exit({error.code!r}) instead of returning"
    line = _user_line(error, source)
    return Outcome(Cause.EXIT, message, rank=rank, exit_code=code, error_type="SystemExit", line=line)


def exit_code(error: SystemExit) -> int:
    """What the interpreter would exit with."""
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


def message_of(error: BaseException) -> str:
    """``Type: text``, or an Argosy error's own words, whatever its ``__str__`` does."""
    try:
        text = str(error)
    except BaseException:
        text = "(its message can not be shown)"
    if isinstance(error, ArgosyError):
        return text[:_LONGEST_MESSAGE]
    name = type(error).__name__
    return f"{name}: {text}"[:_LONGEST_MESSAGE] if text else name


def _outcome(cause: Cause, error: BaseException, source: str, rank: int, message: str) -> Outcome:
    return Outcome(
        cause,
        _without(source, message),
        rank=rank,
        error_type=type(error).__name__,
        traceback=_traceback(error, source),
        line=_user_line(error, source),
    )


def _user_line(error: BaseException, source: str) -> int | None:
    """The deepest line of the user's own code that the error passed through."""
    prefix = source + os.sep
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(prefix):
        return error.lineno
    line = None
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if source and trace.tb_frame.f_code.co_filename.startswith(prefix):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _traceback(error: BaseException, source: str) -> str:
    """As Python prints it, from the user's first frame on, without Argosy's frames and folders."""
    try:
        formatted = traceback.TracebackException.from_exception(error, compact=True)
        _trim(formatted, source, set())
        text = "".join(formatted.format())
    except BaseException:
        return ""
    text = _without(source, text)
    return text if len(text) <= _LONGEST_TRACEBACK else "...\n" + text[-_LONGEST_TRACEBACK:]


def _without(source: str, text: str) -> str:
    """The text with the user's files named as they name them, not by where their snapshot lies."""
    return text.replace(source + os.sep, "") if source else text


def _trim(formatted: traceback.TracebackException, source: str, seen: set[int]) -> None:
    if id(formatted) in seen:
        return
    seen.add(id(formatted))
    frames = list(formatted.stack)
    prefix = source + os.sep
    first = next((i for i, f in enumerate(frames) if source and f.filename.startswith(prefix)), 0)
    kept = [f for f in frames[first:] if not _is_machinery(f.filename)]
    formatted.stack = traceback.StackSummary.from_list(kept)
    for linked in (formatted.__cause__, formatted.__context__):
        if linked is not None:
            _trim(linked, source, seen)


def _is_machinery(filename: str) -> bool:
    return filename.startswith((*_MACHINERY, "<frozen importlib"))
