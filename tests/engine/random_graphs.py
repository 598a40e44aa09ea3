"""Random graphs, and what their steps would compute: functions of node and inputs alone."""

from __future__ import annotations

import zlib
from typing import Any

from hypothesis import strategies as st

from argosy.artifacts.reference import Inline, Many, Stored, Value, fingerprint
from argosy.flow.graph import (
    Argument,
    Arriving,
    Collection,
    Graph,
    Literal,
    Node,
    NodeId,
    Reference,
    RetryRule,
    ServiceNode,
    StepNode,
)

from .building import graph, inline, ref, step, stored

FLAVOURS = ("scalar", "inline list", "list of artifacts", "stored list")


class Failing(Exception):
    """The step raises on these inputs, every time."""


@st.composite
def graphs(draw: st.DrawFn, largest: int = 9) -> Graph:
    """Graphs of steps, mapped steps and services, with all kinds of arguments."""
    nodes: list[Node] = []
    for index in range(draw(st.integers(3, largest))):
        nodes.append(draw(_nodes(index, [node.id for node in nodes])))
    outputs = draw(st.lists(st.sampled_from(nodes), max_size=3))
    return graph(*nodes, output=Collection(tuple(ref(node.id) for node in outputs)))


@st.composite
def _nodes(draw: st.DrawFn, index: int, above: list[NodeId]) -> Node:
    kind = draw(st.sampled_from(["step", "step", "step", "mapped", "mapped", "service"])) if above else "step"
    if kind == "service":
        return ServiceNode(NodeId(f"v{index}"), f"v{index}", draw(_lists(above)), label=draw(_frailty))
    arguments: dict[str, Argument] = draw(
        st.dictionaries(st.sampled_from("xyz"), _arguments(above), min_size=1, max_size=2)
    )
    options: dict[str, Any] = {
        "step": f"n{index}",
        "memoize": draw(st.sampled_from([None, True])),
        "retry": RetryRule(limit=draw(st.integers(0, 2))),
        "label": draw(_frailty),
        "function": draw(st.sampled_from(FLAVOURS)),
    }
    if kind == "mapped":
        arguments["m"] = draw(st.one_of(st.sampled_from(above).map(Reference), _lists(above)))
        options["map_over"] = "m"
    return step(f"n{index}", **arguments, **options)


_frailty = st.sampled_from(["robust", "robust", "fragile"])


def _lists(above: list[NodeId]) -> st.SearchStrategy[Argument]:
    items = st.lists(st.sampled_from(above).map(Reference), min_size=1, max_size=5).map(tuple)
    return st.one_of(items.map(Arriving), items.map(Arriving), items.map(Collection))


def _arguments(above: list[NodeId]) -> st.SearchStrategy[Argument]:
    literals = st.integers(0, 2).map(Literal)
    return st.one_of(literals, st.sampled_from(above).map(Reference), _lists(above)) if above else literals


class Functions:
    """What every step returns. Few different results, so that outputs repeat and go back and forth."""

    def __init__(self) -> None:
        self.stored_lists: dict[str, tuple[Value, ...]] = {}

    def call(self, node: Node, inputs: dict[str, Value]) -> Value:
        """The output of a step or a service on its inputs. Raises Failing where a fragile one breaks."""
        text = ";".join(f"{name}={fingerprint(value)}" for name, value in sorted(inputs.items()))
        number = zlib.crc32(f"{node.id}({text})".encode())
        if node.label == "fragile" and number % 5 == 0:
            raise Failing
        name = f"{node.id}.{number // 5 % 2}"
        return self._output(node, name, number // 10 % 4)

    def _output(self, node: Node, name: str, length: int) -> Value:
        if not isinstance(node, StepNode):
            return inline({"endpoint": name})
        match node.function:
            case "scalar":
                return stored(name)
            case "inline list":
                return inline(list(range(length)))
            case "list of artifacts":
                return Many(tuple(stored(f"{name}[{i}]") for i in range(length)))
            case _:
                self.stored_lists[f"{name}#{length}"] = tuple(inline(i) for i in range(length))
                return stored(f"{name}#{length}")

    def items(self, value: Value) -> tuple[Value, ...] | None:
        """What can be mapped over, or None."""
        match value:
            case Many(items):
                return items
            case Inline(json):
                text = bytes(json).decode()
                return tuple(inline(int(i)) for i in text[1:-1].split(",") if i) if text[0] == "[" else None
            case Stored(reference):
                return self.stored_lists.get(reference.digest)


def plain_fan_in(plan_graph: Graph, functions: Functions) -> dict[NodeId, Value | str]:
    """The naive oracle: each node once, when all above it is over. An output, ``failed`` or ``skipped``."""
    results: dict[NodeId, Value | str] = {}
    for node in plan_graph.nodes:
        results[node.id] = _plain(node, results, functions)
    return results


def _plain(node: Node, results: dict[NodeId, Value | str], functions: Functions) -> Value | str:
    given = node.arguments if isinstance(node, StepNode) else {"models": node.models}
    inputs = {name: _resolve(argument, results) for name, argument in given.items()}
    if None in inputs.values():
        return "skipped"
    known = {name: value for name, value in inputs.items() if value is not None}
    over = node.map_over if isinstance(node, StepNode) else None
    try:
        if over is None:
            return functions.call(node, known)
        items = functions.items(known[over])
        if items is None:
            return "failed"
        return Many(tuple([functions.call(node, known | {over: item}) for item in items]))
    except Failing:
        return "failed"


def _resolve(argument: Argument, results: dict[NodeId, Value | str]) -> Value | None:
    match argument:
        case Literal(value):
            return inline(value)
        case Reference(node):
            result = results[node]
            return None if isinstance(result, str) else result
        case Collection(items):
            values = [_resolve(item, results) for item in items]
            return None if None in values else Many(tuple(value for value in values if value is not None))
        case Arriving(items):
            arrived = [value for item in items if (value := _resolve(item, results)) is not None]
            return Many(tuple(arrived)) if arrived else None
