"""A traced graph as text and as a Mermaid flow chart."""

from __future__ import annotations

import json

from argosy.flow.graph import (
    Argument,
    Arriving,
    Collection,
    Graph,
    Literal,
    Node,
    Reference,
    ServiceNode,
    StepNode,
    node_arguments,
    upstream,
)
from argosy.units import format_duration, format_memory

_LITERAL_CHARACTERS = 40


def text(graph: Graph) -> str:
    """One line a node, in the order of the graph, with its arguments and what it asks for."""
    parameters = ", ".join(f"{name}={_short(value)}" for name, value in graph.parameters.items())
    lines = [f"{graph.workflow}({parameters})"]
    width = max((len(node.id) for node in graph.nodes), default=0)
    lines += [f"  {node.id:<{width}}  {_call(node)}{_asks(node)}" for node in graph.nodes]
    return "\n".join([*lines, f"  returns {_argument(graph.output)}"])


def _call(node: Node) -> str:
    name = node.step if isinstance(node, StepNode) else f"serve {node.service}"
    parts = [f"{key}={_argument(value)}" for key, value in node_arguments(node).items()]
    if isinstance(node, StepNode) and node.map_over:
        return f"{name}({', '.join(parts)}) for each of {node.map_over}"
    return f"{name}({', '.join(parts)})"


def _argument(argument: Argument) -> str:
    match argument:
        case Literal(value):
            return _short(value)
        case Reference(node):
            return node
        case Collection(items):
            return f"[{', '.join(_argument(item) for item in items)}]"
        case Arriving(items):
            return f"arriving [{', '.join(_argument(item) for item in items)}]"


def _short(value: object) -> str:
    whole = json.dumps(value, ensure_ascii=False)
    return whole if len(whole) <= _LITERAL_CHARACTERS else f"{whole[:_LITERAL_CHARACTERS]}..."


def _asks(node: Node) -> str:
    if isinstance(node, ServiceNode):
        least, most = node.replicas
        return f"  [replicas {least if least == most else f'{least} to {most}'}, {node.aggregate}]"
    asked = [f"gang of {node.gang.workers}"] if node.gang.workers > 1 else []
    asked += [f"cpu {node.resources.cpu:g}"] if node.resources.cpu != 1 else []
    asked += [f"memory {format_memory(node.resources.memory)}"] if node.resources.memory else []
    asked += [f"gpu {node.resources.gpu}"] if node.resources.gpu else []
    asked += [f"up to {node.retry.limit} retries"] if node.retry.limit else []
    asked += [f"timeout {format_duration(node.timeout_seconds)}"] if node.timeout_seconds else []
    asked += ["memoized"] if node.memoize else []
    return f"  [{', '.join(asked)}]" if asked else ""


def mermaid(graph: Graph) -> str:
    """A ``flowchart``; services are drawn round, a dotted arrow is an input taken as it arrives."""
    names = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    for node in graph.nodes:
        label = _escaped(f"{node.id} ({node.label})" if node.label and node.label != node.id else node.id)
        left, right = ('(["', '"])') if isinstance(node, ServiceNode) else ('["', '"]')
        lines.append(f"    {names[node.id]}{left}{label}{right}")
    for node in graph.nodes:
        for argument in node_arguments(node).values():
            arrow = "-.->" if isinstance(argument, Arriving) else "-->"
            lines += [f"    {names[source]} {arrow} {names[node.id]}" for source in upstream(argument)]
    return "\n".join(lines)


def _escaped(label: str) -> str:
    return label.replace("#", "#35;").replace('"', "#quot;")
