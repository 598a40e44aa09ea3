"""From a user's file to a traced graph, or to the help of its workflow."""

from __future__ import annotations

import json
import os
import pwd
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from argosy.api.views import RunRequest
from argosy.cli.arguments import Target
from argosy.cli.output import aligned, stdout_kept_clean
from argosy.errors import ArgosyError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from argosy.flow.graph import Graph
    from argosy.flow.loading import LoadedWorkflow
    from argosy.flow.workflows import Parameter


@dataclass(frozen=True, slots=True)
class Traced:
    graph: Graph
    source: dict[str, str]


def load_target(target: Target) -> LoadedWorkflow:
    """Import the file and find the workflow. Raises InvalidRequest or NotFound, with the mend."""
    _require_file(target.file)
    from argosy.flow.loading import load

    with stdout_kept_clean(), _blaming(target.file):
        return load(target.file, target.workflow)


def trace_target(target: Target) -> Traced:
    """Load it and trace it with its parameters. Raises InvalidRequest or InvalidGraph."""
    loaded = load_target(target)
    with stdout_kept_clean(), _blaming(target.file):
        parameters = loaded.workflow.parse_parameters(_texts(target, loaded))
        graph = loaded.workflow.trace(**parameters)
    return Traced(graph, dict(loaded.source_files))


def _texts(target: Target, loaded: LoadedWorkflow) -> dict[str, str]:
    """What was written for each parameter; ``--flag`` alone is ``--flag true`` where that is a bool."""
    types = {parameter.name: parameter.type for parameter in loaded.workflow.parameters}
    for name, text in target.parameters.items():
        if text is None and types.get(name, "bool") != "bool":
            raise InvalidRequest(
                f"parameter --{name} has no value", hint=f"write --{name} VALUE; it takes {types[name]}"
            )
    return {name: "true" if text is None else text for name, text in target.parameters.items()}


def run_request(traced: Traced) -> RunRequest:
    graph = msgspec.to_builtins(traced.graph)
    return RunRequest(graph=graph, source=traced.source, user=user_name())


def user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def workflow_help(target: Target, command: str) -> str:
    """The parameters of a workflow, with types and defaults."""
    workflow = load_target(target).workflow
    lines = [f"Usage: argosy {command} {target.file}:{workflow.name} [--PARAM VALUE ...]", ""]
    if workflow.doc:
        lines += [workflow.doc, ""]
    if not workflow.parameters:
        return "\n".join([*lines, "It takes no parameters."])
    lines.append("Parameters:")
    return "\n".join([*lines, aligned([_parameter_row(parameter) for parameter in workflow.parameters])])


def _parameter_row(parameter: Parameter) -> tuple[str, ...]:
    default = (
        "required" if parameter.required else f"default {json.dumps(parameter.default, ensure_ascii=False)}"
    )
    return f"  --{parameter.name.replace('_', '-')}", parameter.type, default, parameter.doc


def _require_file(file: Path) -> None:
    if file.is_file():
        return
    if file.is_dir():
        raise InvalidRequest(
            f"{file} is a folder, not a Python file",
            hint=f"name a file in it, such as {file / 'workflow.py'}",
        )
    raise NotFound(f"there is no file {file}", hint=_similar(file))


def _similar(file: Path) -> str:
    import difflib

    names = [path.name for path in file.parent.glob("*.py")] if file.parent.is_dir() else []
    close = difflib.get_close_matches(file.name, names, n=1, cutoff=0.5)
    return (
        f"did you mean {file.parent / close[0]}?" if close else "name a Python file that defines a workflow"
    )


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Whatever the user's code raises while it loads or is traced becomes one message that names its line."""
    try:
        yield
    except (ArgosyError, KeyboardInterrupt):
        raise
    except BaseException as error:
        where = _user_line(file, error.__traceback__)
        raise InvalidRequest(
            f"{where}: {type(error).__name__}: {error}" if str(error) else f"{where}: {type(error).__name__}",
            hint="the file has to load, and its workflow function to run, without an error",
        ) from error


def _user_line(file: Path, trace: TracebackType | None) -> str:
    whole = os.path.realpath(file)
    lines = [
        frame.lineno for frame in traceback.extract_tb(trace) if os.path.realpath(frame.filename) == whole
    ]
    return f"{file}:{lines[-1]}" if lines else str(file)
