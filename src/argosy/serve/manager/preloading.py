"""What the processes of services have imported before they are needed: most of what a start would take."""

from __future__ import annotations

from argosy.artifacts.reference import ArtifactReference
from argosy.errors import ArgosyError
from argosy.serve.lifecycle.state import ALIVE, Revision, ServeState
from argosy.serve.manager.processes import ModelPath
from argosy.serve.models.loading import runtime_of

Preload = tuple[str, ...]

MODEL_SERVER = "argosy.serve.model_server.replica"
ROUTER: Preload = ("argosy.serve.router.router",)


class Preloads:
    """``model_path`` finds a stored model; which library runs it is looked up once."""

    def __init__(self, model_path: ModelPath) -> None:
        self._model_path = model_path
        self._runtimes: dict[ArtifactReference, str] = {}

    def of(self, revision: Revision, member: str) -> Preload:
        """For one member's replicas, or for a router or comparer."""
        for model in revision.deployment.models:
            if model.name == member:
                return (MODEL_SERVER, self._runtime(model.reference))
        return ROUTER

    def asleep(self, state: ServeState) -> frozenset[Preload]:
        """What must be at hand so that a service without a replica has one soon."""
        return frozenset(
            self.of(revision, part)
            for service in state.services.values()
            for revision in service.revisions
            if revision.phase in ALIVE and revision.least == 0
            for part in revision.parts
        )

    def _runtime(self, reference: ArtifactReference) -> str:
        known = self._runtimes.get(reference)
        if known is None:
            try:
                known = self._runtimes[reference] = runtime_of(self._model_path(reference))
            except (ArgosyError, OSError):
                # Its start will say what is wrong with it.
                return "onnxruntime"
        return known
