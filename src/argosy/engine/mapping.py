"""Fan-out over a list known only at run time: one instance an item, then fan-in to a list."""

from __future__ import annotations

import msgspec

from argosy.artifacts.reference import Inline, Many, Value
from argosy.engine import nodes
from argosy.engine.commands import ReadList
from argosy.engine.identity import instance_id
from argosy.engine.inputs import resolve
from argosy.engine.state import GOOD_ENDS, NodeState, Phase
from argosy.engine.transition import Transition
from argosy.flow.graph import NodeId, StepNode


def begin(transition: Transition, node: NodeId, step: StepNode) -> None:
    """Find the items: at once where they are references, by reading where they are one stored list."""
    over = resolve(step.arguments[step.map_over or ""], transition.state)
    transition.change(node, phase=Phase.EXPANDING, started_at=transition.time)
    match over:
        case Many(items):
            expand(transition, node, items)
        case Inline(json):
            _expand_inline(transition, node, json)
        case _:
            transition.emit(ReadList(node, over))


def _expand_inline(transition: Transition, node: NodeId, json: msgspec.Raw) -> None:
    try:
        items = msgspec.json.decode(json, type=tuple[msgspec.Raw, ...])
    except msgspec.ValidationError:
        refuse(transition, node, f"map needs a list, got {bytes(json)[:40].decode(errors='replace')}")
        return
    expand(transition, node, tuple(Inline(item.copy()) for item in items))


def expand(transition: Transition, node: NodeId, items: tuple[Value, ...]) -> None:
    """Create an instance for each item and set them all going."""
    if transition[node].phase is not Phase.EXPANDING:
        return
    transition.change(node, phase=Phase.MAPPED, instances=len(items), pending=len(items))
    if not items:
        nodes.succeed(transition, node, Many(()))
        return
    for index, item in enumerate(items):
        instance = instance_id(node, index)
        earlier = transition.state.nodes.get(instance)
        transition.create(
            instance,
            NodeState(
                parent=node,
                item=item,
                attempt=earlier.attempt if earlier else 0,
                created_at=transition.time,
            ),
        )
    for index in range(len(items)):
        nodes.begin(transition, instance_id(node, index))


def refuse(transition: Transition, node: NodeId, reason: str) -> None:
    if transition[node].phase is Phase.EXPANDING:
        nodes.fail(transition, node, reason)


def instance_ended(transition: Transition, instance: NodeId, parent: NodeId) -> None:
    """Count down; the last instance ends the mapped node, with the list of outputs in order of the items."""
    pending = transition[parent].pending - 1
    transition.change(parent, pending=pending)
    if pending:
        return
    instances = [transition[instance_id(parent, i)] for i in range(transition[parent].instances)]
    bad = [i for i, state in enumerate(instances) if state.phase not in GOOD_ENDS]
    if not bad:
        cached = all(state.phase is Phase.CACHED for state in instances)
        outputs = Many(tuple(state.output for state in instances if state.output is not None))
        nodes.succeed(transition, parent, outputs, Phase.CACHED if cached else Phase.SUCCEEDED)
    elif transition.state.cancelled:
        nodes.set_cancelled(transition, parent, transition.state.reason)
    else:
        first = instances[bad[0]]
        nodes.fail(
            transition, parent, f"{len(bad)} of {len(instances)} failed; item {bad[0]}: {first.reason}"
        )
