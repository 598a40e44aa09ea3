"""A service node: deployed by the serving half of the control plane, done when it answers."""

from __future__ import annotations

import msgspec

from argosy.artifacts.reference import Inline
from argosy.engine import nodes
from argosy.engine.commands import Deploy
from argosy.engine.events import ServiceFailed, ServiceReady
from argosy.engine.inputs import resolve
from argosy.engine.state import Phase
from argosy.engine.transition import Transition
from argosy.flow.graph import NodeId, ServiceNode


def deploy(transition: Transition, node: NodeId, service: ServiceNode) -> None:
    """Ask for the models at hand to be served; ``attempt`` numbers the askings."""
    state = transition[node]
    number = state.attempt + 1
    started = transition.time if state.started_at is None else state.started_at
    transition.change(node, phase=Phase.DEPLOYING, attempt=number, started_at=started)
    transition.emit(Deploy(node, number, resolve(service.models, transition.state)))


def ready(transition: Transition, event: ServiceReady) -> None:
    if _is_current(transition, event.node, event.generation):
        output = Inline(msgspec.Raw(msgspec.json.encode(event.endpoint, order="sorted")))
        nodes.succeed(transition, event.node, output)


def failed(transition: Transition, event: ServiceFailed) -> None:
    if _is_current(transition, event.node, event.generation):
        nodes.fail(transition, event.node, event.reason)


def _is_current(transition: Transition, node: NodeId, generation: int) -> bool:
    state = transition.state.nodes.get(node)
    return state is not None and state.phase is Phase.DEPLOYING and state.attempt == generation
