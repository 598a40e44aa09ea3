"""What the engine's shell needs of its neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from argosy.artifacts.reference import ArtifactReference, Stored, Value
from argosy.flow.graph import NodeId, ServiceNode
from argosy.metadata.records import AttemptRecord, EventRecord, MemoRecord, Record, RunRecord
from argosy.runtime.protocol import AttemptId, AttemptSpec, Cause


class Processes(Protocol):
    """Who starts and ends processes (argosy.runtime.Runtime)."""

    def launch(self, spec: AttemptSpec) -> None: ...
    def stop(self, attempt: AttemptId, cause: Cause, message: str = "") -> None: ...
    def acknowledge(self, attempt: AttemptId, token: int) -> None: ...


class Records(Protocol):
    """Where state is committed (argosy.metadata.store.MetadataStore)."""

    def write(self, records: Iterable[Record]) -> None: ...
    def unfinished_runs(self) -> list[RunRecord]: ...
    def events(self, run: str, after: int = 0) -> list[EventRecord]: ...
    def attempts(self, run: str) -> list[AttemptRecord]: ...
    def memos(self, keys: Iterable[str]) -> dict[str, MemoRecord]: ...
    def latest_memo(self, step: str) -> MemoRecord | None: ...


class Artifacts(Protocol):
    """Where results are kept (argosy.artifacts.store.ArtifactStore)."""

    def exists(self, reference: ArtifactReference) -> bool: ...
    def get(self, value: Value) -> object: ...
    def put_json(self, value: object) -> Stored: ...


class Services(Protocol):
    """Who serves models. Answers through the engine's ``service_ready`` and ``service_failed``."""

    def deploy(
        self, run: str, node: NodeId, generation: int, service: ServiceNode, models: Value
    ) -> None: ...
