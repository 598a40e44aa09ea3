"""Whether a graph can be run. Works on the graph alone, so on one that came over HTTP too."""

from __future__ import annotations

from argosy.errors import InvalidGraph, Problem
from argosy.flow.graph import Graph, StepNode
from argosy.flow.node_rules import SERVICE_RULES, STEP_RULES
from argosy.flow.rules import GRAPH_RULES, Machine, Subject


def validate(graph: Graph, machine: Machine | None = None) -> None:
    """Raise InvalidGraph with everything that is wrong with ``graph``.

    With a ``machine``, a node that asks for more than it has is wrong too: it would wait for ever.
    """
    problems = find_problems(graph, machine)
    if problems:
        raise InvalidGraph(problems)


def find_problems(graph: Graph, machine: Machine | None = None) -> list[Problem]:
    """Everything that is wrong with ``graph``: first what concerns it as a whole, then node by node."""
    subject = Subject(graph, machine)
    try:
        problems = [problem for rule in GRAPH_RULES for problem in rule(subject)]
        for node in graph.nodes:
            if isinstance(node, StepNode):
                problems += [problem for rule in STEP_RULES for problem in rule(subject, node)]
            else:
                problems += [problem for rule in SERVICE_RULES for problem in rule(subject, node)]
    except RecursionError:
        message = "the values of the graph are nested too deeply"
        return [Problem("depth", message, "make deeply nested data in a step")]
    return problems
