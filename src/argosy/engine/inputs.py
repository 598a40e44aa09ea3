"""Which inputs of a node are there: pure look-ups in a run's state."""

from __future__ import annotations

import enum

import msgspec

from argosy.artifacts.reference import Inline, Many, Value
from argosy.engine.state import Plan, RunState
from argosy.flow.graph import Argument, Arriving, Collection, Literal, NodeId, Reference, node_arguments


class Availability(enum.Enum):
    READY = enum.auto()
    NOT_YET = enum.auto()
    NEVER = enum.auto()


def availability(argument: Argument, state: RunState) -> Availability:
    """Whether an argument can be had now, later, or never since what yields it has failed."""
    match argument:
        case Literal():
            return Availability.READY
        case Reference(node):
            above = state.nodes[node]
            if above.output is not None:
                return Availability.READY
            return Availability.NEVER if above.settled else Availability.NOT_YET
        case Collection(items):
            found = {availability(item, state) for item in items}
            if Availability.NEVER in found:
                return Availability.NEVER
            return Availability.NOT_YET if Availability.NOT_YET in found else Availability.READY
        case Arriving(items):
            found = {availability(item, state) for item in items}
            if Availability.READY in found or not items:
                return Availability.READY
            return Availability.NOT_YET if Availability.NOT_YET in found else Availability.NEVER


def inputs_availability(plan: Plan, state: RunState, node: NodeId) -> Availability:
    """Whether all arguments of a node can be had together."""
    found = {availability(argument, state) for argument in node_arguments(plan.node_of(node)).values()}
    for worst in (Availability.NEVER, Availability.NOT_YET):
        if worst in found:
            return worst
    return Availability.READY


def resolve(argument: Argument, state: RunState) -> Value:
    """The value of an argument that is READY; of arriving items, those that have arrived."""
    match argument:
        case Literal(value):
            return Inline(msgspec.Raw(msgspec.json.encode(value, order="sorted")))
        case Reference(node):
            output = state.nodes[node].output
            if output is None:
                raise LookupError(f"node {node} has no output yet")
            return output
        case Collection(items):
            return Many(tuple(resolve(item, state) for item in items))
        case Arriving(items):
            return Many(
                tuple(
                    resolve(item, state) for item in items if availability(item, state) is Availability.READY
                )
            )


def resolve_inputs(plan: Plan, state: RunState, node: NodeId) -> dict[str, Value]:
    """Every argument of a node or of one instance of a mapped node (which sees its own item)."""
    arguments = node_arguments(plan.node_of(node))
    item = state.nodes[node].item
    if item is None:
        return {name: resolve(argument, state) for name, argument in arguments.items()}
    mapped = plan.step_of(node).map_over
    return {
        name: item if name == mapped else resolve(argument, state) for name, argument in arguments.items()
    }


def seen_generations(plan: Plan, state: RunState, node: NodeId) -> tuple[tuple[NodeId, int], ...]:
    """Which output of each node above a node, or an instance of a mapped one, would be consumed now."""
    above = ((each, state.nodes[each]) for each in plan.upstream[plan.node_of(node).id])
    return tuple((each, found.generation) for each, found in above if found.output is not None)
