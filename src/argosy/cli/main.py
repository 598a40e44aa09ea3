"""The ``argosy`` command: every way it can end is an exit code and at most one message.

0 done · 1 the run failed · 2 the request was wrong · 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from click import Abort, ClickException, UsageError
from click.exceptions import Exit

from argosy.errors import ArgosyError, InvalidRequest

INTERRUPTED = 130


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A file name that is not UTF-8 must not keep a message from being printed.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    raise SystemExit(code)


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; its exit code. Nothing is raised."""
    own = list(arguments)[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in own
    try:
        return _invoke(arguments or ["--help"])
    except ArgosyError as error:
        return _fail(error, as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has read enough.
        _drop_output()
        return 0
    except Exception as error:
        return _on_other(error, as_json)


def _invoke(arguments: Sequence[str]) -> int:
    from argosy.cli.app import argosy

    try:
        with argosy.make_context("argosy", list(arguments)) as context:
            result: Any = argosy.invoke(context)
    except Exit as end:
        return end.exit_code
    return result if isinstance(result, int) else 0


def _on_other(error: Exception, as_json: bool) -> int:
    if isinstance(error, Abort):
        return INTERRUPTED
    if isinstance(error, ClickException):
        return _fail(_usage_error(error), as_json)
    from argosy.cli.faults import fault

    return _fail(fault(error), as_json)


def _usage_error(error: ClickException) -> ArgosyError:
    context = error.ctx if isinstance(error, UsageError) else None
    command = context.command_path if context else "argosy"
    return InvalidRequest(
        error.format_message().rstrip("."), hint=f"'{command} --help' shows how it is called"
    )


def _fail(error: ArgosyError, as_json: bool) -> int:
    # Imported when it is needed: help and version need no JSON.
    from argosy.cli.output import fail

    return fail(error, as_json)


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
