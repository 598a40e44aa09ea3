"""Whether an argument of a graph fits the type that is expected of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from argosy.errors import InvalidRequest
from argosy.flow.graph import Argument, Arriving, Collection, Literal, Node, NodeId, Reference, ServiceNode
from argosy.flow.types import (
    ANY,
    Either,
    ListOf,
    Plain,
    TupleOf,
    Type,
    accepts,
    conforms,
    describe,
    is_json,
    parse_type,
)
from argosy.flow.values import shown

Finding = tuple[str, str]


def result_type(node: Node) -> Type:
    """The type of what a node yields: ``returns``, or else ``output``; a list of it for a mapped step."""
    if isinstance(node, ServiceNode):
        return Plain("endpoint")
    try:
        single = parse_type(node.returns or _type_of_output(node.output))
    except InvalidRequest:
        single = ANY
    return ListOf(single) if node.map_over is not None else single


def _type_of_output(output: str) -> str:
    return output.replace("json", "Any")


def argument_problems(
    argument: Argument, target: Type, types: Mapping[NodeId, Type], subject: str, verb: str = "takes"
) -> Iterator[Finding]:
    """Messages and hints for everything in ``argument`` that does not fit ``target``.

    ``types`` are the types of nodes' results; a reference to a node that is not there is another rule's
    matter.
    """
    match argument:
        case Literal(value):
            if not conforms(target, value):
                yield _message(subject, verb, target, shown(value)), _literal_hint(target)
        case Reference(node):
            source = types.get(node)
            if source is not None and not accepts(target, source):
                given = f"{describe(source)}, the result of {node!r}"
                yield _message(subject, verb, target, given), _result_hint(target, source)
        case Collection(items) | Arriving(items):
            yield from _list_problems(items, target, types, subject, verb)


def _list_problems(
    items: tuple[Argument, ...], target: Type, types: Mapping[NodeId, Type], subject: str, verb: str
) -> Iterator[Finding]:
    match target:
        case Plain("Any"):
            return
        case ListOf(item):
            yield from _each(items, [item] * len(items), types, subject, verb)
        case TupleOf(parts) if len(parts) == len(items):
            yield from _each(items, list(parts), types, subject, verb)
        case Either(members):
            found = [list(_list_problems(items, member, types, subject, verb)) for member in members]
            if all(found):
                lists = [f for f, m in zip(found, members, strict=True) if isinstance(m, ListOf | TupleOf)]
                yield from (lists or found)[0]
        case _:
            yield (
                _message(subject, verb, target, f"a list of {len(items)}"),
                "pass one result, or run the step for each with .map(...)",
            )


def _each(
    items: tuple[Argument, ...], targets: list[Type], types: Mapping[NodeId, Type], subject: str, verb: str
) -> Iterator[Finding]:
    for position, (item, target) in enumerate(zip(items, targets, strict=True)):
        if isinstance(item, Arriving):
            continue  # has a rule of its own
        yield from argument_problems(item, target, types, f"item {position} of {subject}", verb)


def _message(subject: str, verb: str, target: Type, given: str) -> str:
    return f"{subject} {verb} {describe(target)}, but gets {given}"


def _literal_hint(target: Type) -> str:
    if is_json(target):
        return f"pass a value of type {describe(target)}, or change the annotation"
    return f"pass the result of a step that returns {describe(target)}"


def _result_hint(target: Type, source: Type) -> str:
    if isinstance(target, ListOf) and accepts(target.item, source):
        return "put it in a list: [result]"
    if isinstance(source, ListOf) and accepts(target, source.item):
        return "run the step for each item with .map(...), or let it take a list"
    return f"pass the result of a step that returns {describe(target)}, or change the annotation"
