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

from argosy.cli import output
from argosy.errors import ArgosyError, InvalidRequest

INTERRUPTED = 130


def main() -> None:
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file name that is not UTF-8 must not keep a message from being printed.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    raise SystemExit(run(sys.argv[1:]))


def _open_missing_streams() -> None:
    """A caller may close what a command expects to be open: what is written there goes nowhere."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; its exit code. Nothing is raised."""
    own = list(arguments)[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in own
    try:
        return _invoke(arguments or ["--help"])
    except ArgosyError as error:
        return output.fail(error, as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has read enough.
        output.drop()
        return 0
    except Exception as error:
        return _on_other(error, as_json)


def _invoke(arguments: Sequence[str]) -> int:
    from argosy.cli.app import argosy

    try:
        with argosy.make_context("argosy", list(arguments)) as context:
            result: Any = argosy.invoke(context)
    except Exit as end:
        result = end.exit_code
    output.flush()
    return result if isinstance(result, int) else 0


def _on_other(error: Exception, as_json: bool) -> int:
    if isinstance(error, Abort):
        return INTERRUPTED
    if isinstance(error, ClickException):
        return output.fail(_usage_error(error), as_json)
    from argosy.cli.faults import fault

    return output.fail(fault(error), as_json)


def _usage_error(error: ClickException) -> ArgosyError:
    context = error.ctx if isinstance(error, UsageError) else None
    command = context.command_path if context else "argosy"
    return InvalidRequest(
        error.format_message().rstrip("."), hint=f"'{command} --help' shows how it is called"
    )
