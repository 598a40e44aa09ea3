"""What must hold of a graph as a whole. Each rule yields a problem for everything that breaks it."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from argosy.errors import Problem
from argosy.flow.checking import result_type
from argosy.flow.graph import (
    GRAPH_VERSION,
    Arriving,
    Graph,
    Node,
    NodeId,
    ServiceNode,
    node_arguments,
    upstream,
)
from argosy.flow.naming import NODE_ID
from argosy.flow.types import Type

_WORKFLOW_NAME = re.compile(r"\w[\w-]{0,62}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Machine(Protocol):
    """What there is to run on: ``memory`` is bytes. ``schedule.model.Capacity`` is one."""

    @property
    def cpu(self) -> float: ...

    @property
    def memory(self) -> int: ...

    @property
    def gpu(self) -> int: ...


@dataclass(frozen=True)
class Subject:
    """A graph under examination, and the machine it shall run on when that is known."""

    graph: Graph
    machine: Machine | None = None

    @functools.cached_property
    def nodes(self) -> Mapping[NodeId, Node]:
        return {node.id: node for node in self.graph.nodes}

    @functools.cached_property
    def types(self) -> Mapping[NodeId, Type]:
        return {node.id: result_type(node) for node in self.graph.nodes}

    def where(self, node: Node) -> str:
        """``file:line (node)``."""
        file = node.file or self.graph.source.file
        place = f"{file}:{node.line}" if file and node.line else file
        return f"{place} ({node.id})" if place else f"node {node.id}"


def version_is_known(subject: Subject) -> Iterator[Problem]:
    if subject.graph.version != GRAPH_VERSION:
        yield Problem(
            "version",
            f"the graph has version {subject.graph.version}, this Argosy reads version {GRAPH_VERSION}",
            "trace the workflow again with the Argosy that is to run it",
        )


def source_has_a_name(subject: Subject) -> Iterator[Problem]:
    source = subject.graph.source
    if not _FILE_NAME.fullmatch(source.digest) or not source.module:
        yield Problem(
            "source",
            f"the source {source.digest[:80]!r} of module {source.module[:80]!r} names no snapshot",
            "send what `argosy graph FILE --format json` prints",
        )


def workflow_has_a_name(subject: Subject) -> Iterator[Problem]:
    # Runs are named after their workflow, and folders after runs.
    if not _WORKFLOW_NAME.fullmatch(subject.graph.workflow):
        yield Problem(
            "workflow-name",
            f"{subject.graph.workflow[:80]!r} can not be the name of a workflow",
            "use up to 63 letters, digits, '-' and '_', as in @workflow(name='nightly-training')",
        )


def there_are_nodes(subject: Subject) -> Iterator[Problem]:
    if not subject.graph.nodes:
        yield Problem(
            "empty",
            f"workflow {subject.graph.workflow!r} has no node: there is nothing to run",
            "call at least one step in the workflow",
        )


def ids_are_safe(subject: Subject) -> Iterator[Problem]:
    for node in subject.graph.nodes:
        if not NODE_ID.fullmatch(node.id):
            yield Problem(
                "node-id",
                f"{node.id[:80]!r} can not be the id of a node",
                "use up to 63 of a-z, 0-9, '-', '_' and '.', the first a letter or a digit",
                subject.where(node),
            )


def ids_are_unique(subject: Subject) -> Iterator[Problem]:
    counts = Counter(node.id for node in subject.graph.nodes)
    seen: Counter[NodeId] = Counter()
    for node in subject.graph.nodes:
        seen[node.id] += 1
        if seen[node.id] == 2:
            yield Problem(
                "duplicate-node",
                f"{counts[node.id]} nodes are named {node.id!r}",
                "give each its own name with .named(...), or none and let them be numbered",
                subject.where(node),
            )


def services_are_unique(subject: Subject) -> Iterator[Problem]:
    seen: dict[str, Node] = {}
    for node in subject.graph.nodes:
        if not isinstance(node, ServiceNode):
            continue
        if node.service in seen:
            yield Problem(
                "duplicate-service",
                f"service {node.service!r} is served twice, first at {subject.where(seen[node.service])}",
                "serve all its models together, or give the second another name",
                subject.where(node),
            )
        seen.setdefault(node.service, node)


def references_are_known(subject: Subject) -> Iterator[Problem]:
    for node in subject.graph.nodes:
        for name, argument in node_arguments(node).items():
            for above in upstream(argument):
                if above not in subject.nodes:
                    yield Problem(
                        "unknown-reference",
                        f"argument {name!r} of {node.id!r} refers to node {above!r}, which is not there",
                        "refer to a node of the same graph",
                        subject.where(node),
                    )


def there_is_no_cycle(subject: Subject) -> Iterator[Problem]:
    cycle = find_cycle(subject)
    if cycle:
        yield Problem(
            "cycle",
            f"these nodes wait for each other: {' → '.join(cycle)}",
            "take one of these references out",
            subject.where(subject.nodes[cycle[0]]),
        )


def find_cycle(subject: Subject) -> list[NodeId]:
    """The nodes of a cycle, each waiting for the next, the first again at the end; empty for none."""
    above = {
        node.id: [n for argument in node_arguments(node).values() for n in upstream(argument)]
        for node in subject.graph.nodes
    }
    done: set[NodeId] = set()
    for start in above:
        path: dict[NodeId, Iterator[NodeId]] = {}
        current: NodeId | None = start if start not in done else None
        while current is not None:
            path.setdefault(current, iter(above[current]))
            following = next((n for n in path[current] if n in above and n not in done), None)
            if following is None:
                done.add(current)
                del path[current]
                current = next(reversed(path), None)
            elif following in path:
                names = list(path)
                return [*names[names.index(following) :], following]
            else:
                current = following
    return []


def nodes_are_in_order(subject: Subject) -> Iterator[Problem]:
    position = {node.id: index for index, node in enumerate(subject.graph.nodes)}
    early = [
        (node, above)
        for index, node in enumerate(subject.graph.nodes)
        for argument in node_arguments(node).values()
        for above in upstream(argument)
        if position.get(above, -1) > index
    ]
    if early and not find_cycle(subject):
        for node, above in early:
            yield Problem(
                "order",
                f"{node.id!r} waits for {above!r}, which comes later in the list of nodes",
                "list every node after those it waits for",
                subject.where(node),
            )


def output_is_there(subject: Subject) -> Iterator[Problem]:
    output = subject.graph.output
    for node in upstream(output):
        if node not in subject.nodes:
            yield Problem(
                "output",
                f"workflow {subject.graph.workflow!r} returns the result of {node!r}, which is not there",
                "return the result of a node of the same graph",
            )
    if isinstance(output, Arriving):
        yield Problem(
            "output",
            f"workflow {subject.graph.workflow!r} returns arriving(...)",
            "return the list itself: a run ends when everything has arrived",
        )


GRAPH_RULES = (
    version_is_known,
    source_has_a_name,
    workflow_has_a_name,
    there_are_nodes,
    ids_are_safe,
    ids_are_unique,
    services_are_unique,
    references_are_known,
    there_is_no_cycle,
    nodes_are_in_order,
    output_is_there,
)
