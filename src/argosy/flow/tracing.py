"""From a workflow and its parameter values to a valid graph."""

from __future__ import annotations

from typing import Any

from argosy.errors import ArgosyError, InvalidGraph, InvalidRequest, Problem
from argosy.flow.annotations import Refused
from argosy.flow.checking import argument_problems, result_type
from argosy.flow.current import current_trace
from argosy.flow.graph import Argument, Graph, Literal
from argosy.flow.locations import definition, raised_at
from argosy.flow.signatures import plain
from argosy.flow.trace import Trace
from argosy.flow.validation import find_problems
from argosy.flow.workflows import Workflow


def trace_workflow(workflow: Workflow[..., Any], values: dict[str, Any]) -> Graph:
    """Run the workflow's function with stand-ins, and check what comes of it."""
    trace = Trace(workflow.origin)
    token = current_trace.set(trace)
    try:
        result = _run(workflow, trace, values)
    finally:
        current_trace.reset(token)
    where = str(definition(plain(workflow.function)).within(trace.root))
    output = _output(workflow, trace, result, where)
    if not trace.drafts and not trace.problems:
        trace.fail(
            Problem(
                "empty",
                f"workflow {workflow.name!r} calls no step: there is nothing to run",
                "call a function that has @step above it",
                where,
            )
        )
    graph = trace.finish(workflow.name, values, output)
    problems = [*trace.problems, *find_problems(graph), *_wrong_output(workflow, graph, where)]
    if problems:
        raise InvalidGraph(problems)
    return graph


def _run(workflow: Workflow[..., Any], trace: Trace, values: dict[str, Any]) -> Any:
    try:
        return workflow.function(**workflow.revive(values))
    except InvalidGraph as error:
        # Found while a stand-in was used: what was found before it is still worth saying.
        earlier = [problem for problem in trace.problems if problem not in error.problems]
        raise InvalidGraph([*earlier, *error.problems]) from error
    except ArgosyError as error:
        error.message = f"{_place(error, trace)}{error.message}"
        raise
    except Exception as error:
        raise InvalidRequest(
            f"{_place(error, trace)}workflow {workflow.name!r} failed while it was traced: "
            f"{type(error).__name__}: {error}",
            hint="a workflow only says which steps run; what needs data or may fail belongs in a step",
        ) from error


def _place(error: Exception, trace: Trace) -> str:
    place = raised_at(error.__traceback__, trace.root)
    return f"{place.within(trace.root)}: " if place else ""


def _output(workflow: Workflow[..., Any], trace: Trace, result: Any, where: str) -> Argument:
    try:
        return trace.argument(result)
    except Refused as refused:
        message = f"what workflow {workflow.name!r} returns: {refused.message}"
        trace.problems.append(Problem("output", message, refused.hint, where))
        return Literal(None)


def _wrong_output(workflow: Workflow[..., Any], graph: Graph, where: str) -> list[Problem]:
    """What the workflow returns must be what its annotation says."""
    if "return" not in workflow.function.__annotations__:
        return []
    types = {node.id: result_type(node) for node in graph.nodes}
    subject, verb = f"workflow {workflow.name!r}", "says that it returns"
    return [
        Problem("output", message, hint, where)
        for message, hint in argument_problems(graph.output, workflow.types.returns, types, subject, verb)
    ]
