"""A graph for people: as text, and as a Mermaid flowchart."""

from __future__ import annotations

import json
from collections.abc import Iterator

from argosy.flow.graph import (
    Argument,
    Arriving,
    Collection,
    Graph,
    Literal,
    Node,
    NodeId,
    Reference,
    ServiceNode,
    StepNode,
    node_arguments,
    upstream,
)
from argosy.flow.service_options import Strategy
from argosy.units import format_duration, format_memory

_MOST_NAMES = 6


def levels(graph: Graph) -> list[list[Node]]:
    """The nodes by how many must have ended before: those of one level can run side by side."""
    depth: dict[NodeId, int] = {}
    rows: list[list[Node]] = []
    for node in graph.nodes:
        depth[node.id] = max((depth[above] + 1 for above in _waits_for(node)), default=0)
        while len(rows) <= depth[node.id]:
            rows.append([])
        rows[depth[node.id]].append(node)
    return rows


def _waits_for(node: Node) -> tuple[NodeId, ...]:
    return tuple(dict.fromkeys(n for argument in node_arguments(node).values() for n in upstream(argument)))


def render_text(graph: Graph) -> str:
    """Level by level, what runs and what each node waits for."""
    count = len(graph.nodes)
    lines = [f"{graph.workflow}: {count} node{'s' * (count != 1)} ({graph.source.file})"]
    if graph.parameters:
        lines.append("parameters: " + ", ".join(f"{k}={_json(v)}" for k, v in graph.parameters.items()))
    names = [f"{node.id}  {node.label}".rstrip() for node in graph.nodes]
    width = max(map(len, names), default=0)
    for number, row in enumerate(levels(graph), start=1):
        lines += ["", f"level {number}"]
        for node in row:
            name = f"{node.id}  {node.label}".rstrip()
            facts = " · ".join(filter(None, [_after(node), *_facts(node)]))
            lines.append(f"  {name:<{width}}  {facts}".rstrip())
    lines += ["", f"returns: {_argument(graph.output)}"]
    return "\n".join(lines) + "\n"


def _after(node: Node) -> str:
    waits = _waits_for(node)
    if not waits:
        return "waits for nothing"
    shown = ", ".join(waits[:_MOST_NAMES])
    rest = f" and {len(waits) - _MOST_NAMES} more" if len(waits) > _MOST_NAMES else ""
    arriving = any(isinstance(argument, Arriving) for argument in node_arguments(node).values())
    return f"{'each time one arrives of' if arriving else 'after'} {shown}{rest}"


def _facts(node: Node) -> Iterator[str]:
    if isinstance(node, ServiceNode):
        fewest, most = node.replicas
        yield f"{fewest} to {most} replicas a model" if fewest != most else f"{fewest} replicas a model"
        if node.options.strategy is not Strategy.REPLICATED:
            yield node.options.strategy.value
        return
    if node.map_over:
        yield f"once for each of {node.map_over}"
    amounts = [f"{node.resources.cpu:g} cpu"]
    if node.resources.memory:
        amounts.append(format_memory(node.resources.memory))
    if node.resources.gpu:
        amounts.append(f"{node.resources.gpu} gpu")
    yield f"{node.gang.workers} workers × " * (node.gang.workers > 1) + ", ".join(amounts)
    if node.retry.limit:
        yield f"{node.retry.limit} retries"
    if node.memoize:
        age = node.memoize.max_age_seconds
        yield f"memoized for {format_duration(age)}" if age else "memoized"


def _argument(argument: Argument) -> str:
    match argument:
        case Literal(value):
            return "nothing" if value is None else _json(value)
        case Reference(node):
            return node
        case Collection(items) | Arriving(items):
            return "[" + ", ".join(map(_argument, items)) + "]"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def render_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart: dotted arrows for arriving results, double walls for mapped steps."""
    names = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    lines += [f"  {names[node.id]}{_shape(node)}" for node in graph.nodes]
    for node in graph.nodes:
        arrows = {
            above: "-.->" if isinstance(argument, Arriving) else "-->"
            for argument in node_arguments(node).values()
            for above in upstream(argument)
        }
        lines += [f"  {names[above]} {arrow} {names[node.id]}" for above, arrow in arrows.items()]
    return "\n".join(lines) + "\n"


def _shape(node: Node) -> str:
    text = "<br/>".join(filter(None, (_escaped(node.id), _escaped(node.label))))
    if isinstance(node, StepNode):
        return f'[["{text}"]]' if node.map_over else f'["{text}"]'
    return f'(["{text}"])'


def _escaped(text: str) -> str:
    """Mermaid reads ``#name;`` as an entity and the rest as HTML."""
    # The sign that starts an entity goes first, or the entities themselves would be escaped.
    for sign, entity in (
        ("#", "#35;"),
        ("&", "#38;"),
        ('"', "#34;"),
        ("<", "#60;"),
        (">", "#62;"),
        ("`", "#96;"),
    ):
        text = text.replace(sign, entity)
    return text
