"""Where the words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from argosy.errors import ArgosyError

# msgspec is imported where JSON is made: help and version need none.


class OutputFailed(ArgosyError):
    """Standard output takes no more: the message can only go to standard error."""

    code = "output_failed"


def document(value: Any) -> None:
    """The one JSON document of a command called with ``--json``."""
    import msgspec

    from argosy.api.codec import encode

    raw(msgspec.json.format(encode(value), indent=2) + b"\n")


def raw(data: bytes) -> None:
    flush()
    with _telling_failures():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def show(text: str = "") -> None:
    """A line of the result."""
    with _telling_failures():
        sys.stdout.write(text + "\n")


def flush() -> None:
    with _telling_failures():
        sys.stdout.flush()


@contextlib.contextmanager
def _telling_failures() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output could not be written: {error.strerror}") from error


def drop() -> None:
    """What is still to be written to standard output goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """A line about what is going on."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(error: ArgosyError, as_json: bool) -> int:
    """Tell of an error in the one way that was asked for; the exit code it means."""
    if isinstance(error, OutputFailed):
        drop()
    elif as_json:
        document({"error": _encodable(error)})
        return error.exit_code
    for message, hint in _problems(error):
        say(f"error: {message}")
        if hint:
            say(f"hint: {hint}")
    return error.exit_code


def _problems(error: ArgosyError) -> list[tuple[str, str]]:
    """Everything that is wrong, with its mend: most errors are one problem."""
    problems = error.context.get("problems")
    if not isinstance(problems, list | tuple) or len(problems) < 2:
        return [(error.message, error.hint)]
    return [(_placed(problem), problem.get("hint", "")) for problem in problems]


def _placed(problem: dict[str, str]) -> str:
    where = problem.get("where")
    return f"{where}: {problem['message']}" if where else problem["message"]


def _encodable(error: ArgosyError) -> Any:
    from argosy.api.codec import encode, error_view

    view = error_view(error)
    try:
        encode(view)
    except (TypeError, ValueError):
        # A file name that is not UTF-8, or a value of the user's that JSON can not hold.
        return {"code": view.code, "message": _printable(view.message), "hint": _printable(view.hint)}
    return view


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """Whatever prints inside, the user's module while it loads for one, prints on standard error."""
    flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under columns: drawn on a terminal, aligned plain text anywhere else."""
    if sys.stdout.isatty():
        from argosy.cli.terminal import draw_table

        draw_table(columns, rows)
    else:
        show(aligned([columns, *rows]))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, without spaces at the ends of lines."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
