"""Nodes before their ids are known, and the graph that is assembled from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from argosy.flow.graph import (
    Argument,
    Arriving,
    CodeIdentity,
    Collection,
    Graph,
    Literal,
    Node,
    NodeId,
    Reference,
    ServiceNode,
    StepNode,
)
from argosy.flow.locations import Location
from argosy.flow.naming import assign_ids, labels
from argosy.flow.origin import Origin
from argosy.flow.serving import ServiceSettings
from argosy.flow.signatures import Types
from argosy.flow.steps import Step


@dataclass(slots=True)
class StepFacts:
    """What is the same for every node of one step."""

    module: str
    output: str
    types: Types
    code: CodeIdentity
    preload: tuple[str, ...]


@dataclass(slots=True)
class Draft:
    """A node whose id is not known yet: references hold the numbers of drafts, as texts.

    ``faulty`` are the arguments whose values could not be taken; that has been said. ``service`` holds the
    settings of a service, which has no ``step``.
    """

    base: str
    name: str
    location: Location
    arguments: dict[str, Argument]
    explicit_id: str | None = None
    step: Step[..., Any] | None = None
    map_over: str | None = None
    faulty: set[str] = field(default_factory=set)
    service: ServiceSettings = field(default_factory=ServiceSettings)


class Traced(Protocol):
    """What a finished trace holds."""

    origin: Origin
    drafts: list[Draft]

    def facts(self, step: Step[..., Any]) -> StepFacts: ...


def assemble(workflow: str, parameters: dict[str, Any], output: Argument, traced: Traced) -> Graph:
    """The graph: every draft with its id, its label, and references by id."""
    drafts = traced.drafts
    ids = assign_ids([draft.base for draft in drafts], [draft.explicit_id for draft in drafts])
    names = {NodeId(str(index)): node_id for index, node_id in enumerate(ids)}
    for draft in drafts:
        draft.arguments = {key: _renamed(value, names) for key, value in draft.arguments.items()}
    source = traced.origin.reference
    nodes: list[Node] = []
    for draft, node_id, label in zip(drafts, ids, _labels(drafts), strict=True):
        file = "" if draft.location.file == source.file else draft.location.file
        if draft.step is None:
            nodes.append(_service_node(draft, node_id, label, file))
        else:
            nodes.append(_step_node(draft, draft.step, traced.facts(draft.step), node_id, label, file))
    return Graph(workflow, source, parameters, tuple(nodes), _renamed(output, names))


def _labels(drafts: Sequence[Draft]) -> list[str]:
    """Siblings are the calls that share a base; a service is labelled by its name."""
    groups: dict[str, list[int]] = {}
    for index, draft in enumerate(drafts):
        groups.setdefault(draft.base, []).append(index)
    texts = [""] * len(drafts)
    for members in groups.values():
        for index, text in zip(members, labels([drafts[i].arguments for i in members]), strict=True):
            texts[index] = text if drafts[index].step else drafts[index].service.name
    return texts


def _service_node(draft: Draft, node_id: NodeId, label: str, file: str) -> ServiceNode:
    settings = draft.service
    return ServiceNode(
        id=node_id,
        service=settings.name,
        models=draft.arguments["models"],
        replicas=settings.replicas,
        aggregate=settings.aggregate,
        options=settings.options,
        label=label,
        line=draft.location.line,
        file=file,
    )


def _step_node(
    draft: Draft, step: Step[..., Any], facts: StepFacts, node_id: NodeId, label: str, file: str
) -> StepNode:
    options = step.options
    takes = {name: str(type) for name, type in facts.types.parameters.items()}
    # What is wrong with an argument has been said: no rule needs to look at it again.
    takes.update(dict.fromkeys(draft.faulty & takes.keys(), "Any"))
    return StepNode(
        id=node_id,
        step=step.name,
        module=facts.module,
        function=step.function_name,
        arguments=draft.arguments,
        output=facts.output,
        code=facts.code,
        label=label,
        resources=options.resources.request(),
        gang=options.gang.rule(),
        retry=options.retry.rule(),
        memoize=options.memoize.rule() if options.memoize else None,
        timeout_seconds=options.timeout_seconds,
        map_over=draft.map_over,
        preload=facts.preload,
        line=draft.location.line,
        priority=options.priority,
        file=file,
        parameters=takes,
        returns=str(facts.types.returns),
    )


def _renamed(argument: Argument, names: Mapping[NodeId, NodeId]) -> Argument:
    match argument:
        case Literal():
            return argument
        case Reference(node):
            return Reference(names[node])
        case Collection(items):
            return Collection(tuple(_renamed(item, names) for item in items))
        case Arriving(items):
            return Arriving(tuple(Reference(names[item.node]) for item in items))
