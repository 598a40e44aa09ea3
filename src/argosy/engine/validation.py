"""What must hold of every state a run can be in, checked by counting afresh. For tests and simulations."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.engine.identity import instance_id
from argosy.engine.inputs import Availability, inputs_availability
from argosy.engine.recovery import outstanding
from argosy.engine.state import ENDS, HOLDING, NodeState, Phase, Plan, RunPhase, RunState
from argosy.flow.graph import NodeId


def violations(plan: Plan, state: RunState) -> list[str]:
    """Every law that a submitted run breaks, as sentences; empty when all is well."""
    found = list(_run_violations(plan, state))
    for node in plan.nodes:
        found += [f"{node}: {text}" for text in _node_violations(plan, state, node)]
    for node, node_state in state.nodes.items():
        if node_state.parent is not None:
            found += [f"{node}: {text}" for text in _instance_violations(state, node, node_state)]
    return found


def _run_violations(plan: Plan, state: RunState) -> Iterator[str]:
    graph_nodes = [state.nodes[node.id] for node in plan.graph.nodes]
    unsettled = sum(not node.settled for node in graph_nodes)
    failed = sum(node.settled and node.phase is Phase.FAILED for node in graph_nodes)
    if state.unsettled != unsettled:
        yield f"unsettled is {state.unsettled}, counted {unsettled}"
    if state.failed != failed:
        yield f"failed is {state.failed}, counted {failed}"
    ended = state.phase is not RunPhase.RUNNING
    if ended is not (unsettled == 0):
        yield f"the run is {state.phase} with {unsettled} nodes unsettled"
    if ended is not (state.ended_at is not None):
        yield f"the run is {state.phase} and ended at {state.ended_at}"
    if not ended and not outstanding(plan, state):
        yield "the run is stuck: nothing is outstanding"


def _node_violations(plan: Plan, state: RunState, node: NodeId) -> Iterator[str]:
    node_state = state.nodes[node]
    remaining = sum(not state.nodes[above].settled for above in plan.upstream[node])
    if node_state.remaining != remaining:
        yield f"remaining is {node_state.remaining}, counted {remaining}"
    if node_state.settled and node_state.phase not in ENDS:
        yield f"settled while {node_state.phase}"
    if node_state.phase in ENDS and not node_state.settled:
        if node not in plan.streaming:
            yield f"{node_state.phase}, yet not settled, and not fed by arriving"
        if not remaining:
            yield f"{node_state.phase}, yet not settled, with all above it settled"
    if node_state.phase is Phase.WAITING and _could_begin(plan, state, node, remaining):
        yield "waits for nothing"
    if node_state.phase is Phase.MAPPED:
        yield from _map_violations(state, node, node_state)
    if state.cancelled and node_state.phase not in ENDS | HOLDING | {Phase.MAPPED}:
        yield f"{node_state.phase} in a cancelled run"


def _could_begin(plan: Plan, state: RunState, node: NodeId, remaining: int) -> bool:
    if node in plan.streaming:
        return inputs_availability(plan, state, node) is not Availability.NOT_YET
    return remaining == 0


def _map_violations(state: RunState, node: NodeId, node_state: NodeState) -> Iterator[str]:
    instances = [state.nodes[instance_id(node, index)] for index in range(node_state.instances)]
    pending = sum(instance.phase not in ENDS for instance in instances)
    if node_state.pending != pending:
        yield f"pending is {node_state.pending}, counted {pending}"
    if not pending:
        yield "mapped with no instance pending"


def _instance_violations(state: RunState, node: NodeId, node_state: NodeState) -> Iterator[str]:
    parent = state.nodes[node_state.parent or node]
    if node_state.phase is Phase.WAITING:
        yield "an instance that was not begun"
    if node_state.phase not in ENDS and parent.phase is not Phase.MAPPED:
        yield f"{node_state.phase} while its parent is {parent.phase}"
    if state.cancelled and node_state.phase not in ENDS | HOLDING:
        yield f"{node_state.phase} in a cancelled run"
