"""Joins the engine's service nodes to the serving half: who asked for what, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from argosy.artifacts.handles import Model
from argosy.artifacts.reference import ArtifactReference, Many, Stored, Value
from argosy.errors import ArgosyError, InvalidInput
from argosy.flow.graph import NodeId, ServiceNode
from argosy.serve.lifecycle import Deployment, ModelReference, ServiceChange


class Answers(Protocol):
    """The engine's side: a deployment answers, or will not."""

    def service_ready(self, run: str, node: NodeId, generation: int, endpoint: dict[str, Any]) -> None: ...
    def service_failed(self, run: str, node: NodeId, generation: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Asker:
    run: str
    node: NodeId
    generation: int


class Deployments:
    """One asker a service at a time: a later deployment of the same name takes its place."""

    def __init__(self, deploy: Callable[[Deployment], None], get: Callable[[Value], object]):
        self.answers: Answers | None = None
        self._deploy = deploy
        self._get = get
        self._askers: dict[str, _Asker] = {}

    def deploy(self, run: str, node: NodeId, generation: int, service: ServiceNode, models: Value) -> None:
        asker = _Asker(run, node, generation)
        superseded = self._askers.get(service.service)
        self._askers[service.service] = asker
        if superseded and superseded.run != run:
            self._fail(superseded, f"run {run} deployed service {service.service} meanwhile")
        try:
            deployment = Deployment(
                service=service.service,
                models=self._named(models),
                replicas=service.replicas,
                aggregate=service.aggregate,
                run=run,
                node=node,
            )
            self._deploy(deployment)
        except ArgosyError as error:
            del self._askers[service.service]
            self._fail(asker, str(error))

    def on_change(self, change: ServiceChange) -> None:
        """What the serving half announces."""
        asker = self._askers.get(change.service)
        if asker is None or self.answers is None:
            return
        if change.state == "ready":
            del self._askers[change.service]
            self.answers.service_ready(asker.run, asker.node, asker.generation, change.endpoint)
        elif change.state == "failed":
            del self._askers[change.service]
            self._fail(asker, change.reason)

    def _fail(self, asker: _Asker, reason: str) -> None:
        if self.answers is not None:
            self.answers.service_failed(asker.run, asker.node, asker.generation, reason)

    def _named(self, models: Value) -> tuple[ModelReference, ...]:
        """Every model under a name of its own, fit for an address."""
        taken: dict[str, int] = {}
        named = []
        for reference in _model_references(models):
            model = self._get(Stored(reference))
            name = model.name if isinstance(model, Model) else ""
            name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
            taken[name] = taken.get(name, 0) + 1
            named.append(ModelReference(name if taken[name] == 1 else f"{name}-{taken[name]}", reference))
        return tuple(named)


def _model_references(value: Value) -> list[ArtifactReference]:
    match value:
        case Stored(reference) if reference.type == "model":
            return [reference]
        case Many(items):
            return [reference for item in items for reference in _model_references(item)]
        case _:
            raise InvalidInput(
                "a service is made of models, and got something else",
                hint="pass ar.serve models that steps returned as ar.Model",
            )
