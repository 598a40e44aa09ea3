"""Joins the engine's service nodes to the serving half: named models go there, answers come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from argosy.artifacts.handles import Model
from argosy.artifacts.reference import ArtifactReference, Many, Stored, Value
from argosy.errors import ArgosyError, InvalidInput
from argosy.flow.graph import NodeId, ServiceNode
from argosy.serve.deployment import Deployment, ModelReference, ServiceChange


class Answers(Protocol):
    """The engine's side: a deployment answers, or will not."""

    def service_ready(self, run: str, node: NodeId, generation: int, endpoint: dict[str, Any]) -> None: ...
    def service_failed(self, run: str, node: NodeId, generation: int, reason: str) -> None: ...


class Deployments:
    """``deploy`` starts a deployment, ``get`` reads an artifact, ``user`` says whose run it is; ``answers``
    is told what came of it."""

    def __init__(
        self,
        deploy: Callable[[Deployment], None],
        get: Callable[[Value], object],
        user: Callable[[str], str] = lambda run: "",
    ):
        self.answers: Answers | None = None
        self._deploy = deploy
        self._get = get
        self._user = user

    def deploy(self, run: str, node: NodeId, generation: int, service: ServiceNode, models: Value) -> None:
        """Ask for it. What is wrong with it is an answer like any other."""
        try:
            self._deploy(
                Deployment(
                    service=service.service,
                    models=tuple(self._named(reference) for reference in _model_references(models)),
                    replicas=service.replicas,
                    aggregate=service.aggregate,
                    options=service.options,
                    run=run,
                    node=node,
                    generation=generation,
                    user=self._user(run),
                )
            )
        except ArgosyError as error:
            self._fail(run, node, generation, str(error))

    def on_change(self, change: ServiceChange) -> None:
        """What the serving half announces; changes nobody asked for name no run."""
        if not change.run or self.answers is None:
            return
        node = NodeId(change.node)
        if change.state == "ready":
            self.answers.service_ready(change.run, node, change.generation, dict(change.endpoint))
        else:
            reason = change.reason or f"service {change.service} is {change.state}"
            self._fail(change.run, node, change.generation, reason)

    def _fail(self, run: str, node: NodeId, generation: int, reason: str) -> None:
        if self.answers is not None:
            self.answers.service_failed(run, node, generation, reason)

    def _named(self, reference: ArtifactReference) -> ModelReference:
        model = self._get(Stored(reference))
        return ModelReference(model.name.lower() if isinstance(model, Model) else "", reference)


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
