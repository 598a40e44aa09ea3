"""From a user's file to a traced graph, or to the help of its workflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from argosy.api.views import RunRequest
from argosy.cli.arguments import Target
from argosy.cli.output import aligned, stdout_kept_clean
from argosy.cli.users import user_name
from argosy.errors import InvalidRequest
from argosy.flow.loading import load

if TYPE_CHECKING:
    from argosy.flow.graph import Graph
    from argosy.flow.loading import LoadedWorkflow
    from argosy.flow.workflows import Parameter


@dataclass(frozen=True, slots=True)
class Traced:
    graph: Graph
    source: dict[str, str]


def trace_target(target: Target) -> Traced:
    """Load the file and trace the workflow with its parameters. Raises ArgosyError for all that is wrong."""
    with stdout_kept_clean():
        loaded = load(target.file, target.workflow)
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
    return RunRequest(graph=msgspec.to_builtins(traced.graph), source=traced.source, user=user_name())


def workflow_help(target: Target, command: str) -> str:
    """The parameters of a workflow, with types and defaults."""
    with stdout_kept_clean():
        workflow = load(target.file, target.workflow).workflow
    lines = [f"Usage: argosy {command} {target.file}:{workflow.name} [--PARAM VALUE ...]", ""]
    if workflow.doc:
        lines += [f"  {workflow.doc}", ""]
    if not workflow.parameters:
        return "\n".join([*lines, "It takes no parameters."])
    rows = [_parameter_row(parameter) for parameter in workflow.parameters]
    return "\n".join([*lines, "Parameters:", aligned(rows)])


def _parameter_row(parameter: Parameter) -> tuple[str, ...]:
    name = f"  --{parameter.name.replace('_', '-')}"
    default = f"default {json.dumps(parameter.default, ensure_ascii=False)}"
    return name, parameter.type, "required" if parameter.required else default, parameter.doc
