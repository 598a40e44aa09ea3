"""The state of one run, and the plan (what never changes while it runs) that it is read against."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from argosy.artifacts.reference import Value
from argosy.flow.graph import Arriving, Graph, Node, NodeId, StepNode, node_arguments, upstream
from argosy.persistent import PersistentMap


class Phase(enum.StrEnum):
    """Where a node is. The last five are ends."""

    WAITING = "waiting"  # for the nodes above it
    LOOKING_UP = "looking_up"  # for the answer of the memo store
    EXPANDING = "expanding"  # for the list it is mapped over
    MAPPED = "mapped"  # for its instances
    QUEUED = "queued"  # for room
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"  # before the next attempt
    DEPLOYING = "deploying"
    SUCCEEDED = "succeeded"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


ENDS = frozenset({Phase.SUCCEEDED, Phase.CACHED, Phase.FAILED, Phase.SKIPPED, Phase.CANCELLED})
GOOD_ENDS = frozenset({Phase.SUCCEEDED, Phase.CACHED})
HOLDING = frozenset({Phase.STARTING, Phase.RUNNING})


class RunPhase(enum.StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class NodeState(msgspec.Struct, frozen=True):
    """One node, or one instance ``id[i]`` of a mapped node (then ``parent`` and ``item`` are set).

    ``remaining`` counts nodes above that are not settled, ``pending`` instances that have not ended. A node
    is *settled* when its output can no longer change; only a node fed by ``arriving`` can end several times
    before that. ``generation`` counts its different outputs; ``consumed`` is what the newest start of such a
    node saw of those above.
    ``attempt`` numbers attempts from 1 over the node's whole life and is the fencing token;
    ``failures`` and ``losses`` count those since the inputs last changed.
    """

    phase: Phase = Phase.WAITING
    remaining: int = 0
    pending: int = 0
    settled: bool = False
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    generation: int = 0
    consumed: tuple[tuple[NodeId, int], ...] | None = None
    output: Value | None = None
    memo_key: str = ""
    memo_reason: str = ""
    reason: str = ""
    parent: NodeId | None = None
    item: Value | None = None
    instances: int = 0
    resume_at: float | None = None
    queued_at: float | None = None
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None


@dataclass(frozen=True)
class Plan:
    """A graph prepared for running: who depends on whom, and who may run more than once."""

    run: str
    graph: Graph

    @cached_property
    def nodes(self) -> dict[NodeId, Node]:
        return {node.id: node for node in self.graph.nodes}

    @cached_property
    def upstream(self) -> dict[NodeId, tuple[NodeId, ...]]:
        return {
            node.id: tuple(dict.fromkeys(n for a in node_arguments(node).values() for n in upstream(a)))
            for node in self.graph.nodes
        }

    @cached_property
    def downstream(self) -> dict[NodeId, tuple[NodeId, ...]]:
        below: dict[NodeId, list[NodeId]] = {node.id: [] for node in self.graph.nodes}
        for node, above in self.upstream.items():
            for each in above:
                below[each].append(node)
        return {node: tuple(each) for node, each in below.items()}

    @cached_property
    def streaming(self) -> frozenset[NodeId]:
        """Nodes that are fed, directly or through others, by ``arriving``."""
        found: set[NodeId] = set()
        for node in self.graph.nodes:
            arriving = any(isinstance(a, Arriving) for a in node_arguments(node).values())
            if arriving or any(above in found for above in self.upstream[node.id]):
                found.add(node.id)
        return frozenset(found)

    @cached_property
    def positions(self) -> dict[NodeId, int]:
        return {node.id: position for position, node in enumerate(self.graph.nodes)}

    def position(self, instance: NodeId) -> int:
        """Where a node stands in the graph; instances follow their mapped node in order."""
        node = self.node_of(instance).id
        index = 0 if node == instance else int(instance[len(node) + 1 : -1]) + 1
        return (self.positions[node] << 32) + index

    def node_of(self, instance: NodeId) -> Node:
        """The graph's node of a node or of one of a mapped node's instances."""
        node = self.nodes.get(instance)
        return node if node is not None else self.nodes[NodeId(instance[: instance.rindex("[")])]

    def step_of(self, instance: NodeId) -> StepNode:
        node = self.node_of(instance)
        if not isinstance(node, StepNode):
            raise TypeError(f"{instance} is a service, not a step")
        return node


@dataclass(frozen=True, slots=True)
class RunState:
    """``unsettled`` counts the graph's nodes whose output may still change; at 0 the run has ended."""

    nodes: PersistentMap[NodeId, NodeState] = field(default_factory=PersistentMap)
    phase: RunPhase = RunPhase.RUNNING
    unsettled: int = 0
    failed: int = 0
    cancelled: bool = False
    reason: str = ""
    output: Value | None = None
    created_at: float = 0.0
    ended_at: float | None = None
