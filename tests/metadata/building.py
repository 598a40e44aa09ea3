"""Records with every field set, told apart by a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from argosy.metadata.records import (
    ArtifactRecord,
    AttemptRecord,
    AuditPosition,
    AuditRecord,
    EventRecord,
    MemoRecord,
    MetricRecord,
    NodeRecord,
    Record,
    RunRecord,
    SampleRecord,
    ServiceRecord,
    TokenRecord,
)
from argosy.metadata.store import MetadataStore


def run(name: str = "r", created_at: float = 1.0, state: str = "running") -> RunRecord:
    return RunRecord(name, "flow", state, created_at, b'{"nodes":[]}', 9.5, "ada", "why", b"[1]")


def node(name: str = "n", run: str = "r", position: int = 0, state: str = "running") -> NodeRecord:
    return NodeRecord(
        run, name, position, "train", "step", state, "a label", "why", "hit", 1.0, 2.0, 3.0, b"{}", ("a", "b")
    )


def attempt(name: str = "r.n.1", run: str = "r", node: str = "n", number: int = 1) -> AttemptRecord:
    return AttemptRecord(
        name, run, node, number, 2**62, "ended", 2, 1.0, 2.0, 3.0, "signal", "killed", 1, 9, 12, "Traceback",
        2**40, b"{}", b"{}", b"[[1,2]]",
    )  # fmt: skip


def event(sequence: int = 1, run: str = "r") -> EventRecord:
    return EventRecord(run, sequence, 1.5, "Submitted", b'{"a":1}')


def metric(
    step: int = 1, value: float = 0.5, *, name: str = "loss", rank: int = 0, attempt: str = "r.n.1"
) -> MetricRecord:
    return MetricRecord(attempt, rank, name, step, value, 1.5, step // 10)


def sample(time: float = 1.5, rank: int = 0, attempt: str = "r.n.1") -> SampleRecord:
    return SampleRecord(attempt, rank, time, 0.75, 2**33)


def memo(key: str = "k", step: str = "train", created_at: float = 1.0) -> MemoRecord:
    return MemoRecord(key, step, created_at, b"{}", b"{}", "r", "n")


def service(name: str = "s", revision: int = 1, created_at: float = 1.0) -> ServiceRecord:
    return ServiceRecord(name, revision, created_at, b"{}", b"{}")


def artifact(digest: str = "d" * 64, type: str = "model", created_at: float = 1.0) -> ArtifactRecord:
    return ArtifactRecord(digest, type, 2**40, created_at, "r.n.1")


def token(name: str = "t", created_at: float = 1.0) -> TokenRecord:
    return TokenRecord(name, "ada", "staff", "gold", created_at, 2.0, 1.5)


def counted(hour: int = 0, outcome: str = "answered", **more: float) -> AuditRecord:
    numbers = {"requests": 1, "received": 2, "sent": 3, "seconds": 0.5, "first_at": 5.0, "last_at": 6.0}
    return AuditRecord(hour, "ada", "staff", "gold", "digits", outcome, **(numbers | more))  # type: ignore[arg-type]


def one_of_each() -> list[Record]:
    return [
        run(), node(), attempt(), event(), artifact(), memo(), metric(), sample(), service(), token(),
        AuditPosition("gateway", 2**40, 7),
    ]  # fmt: skip


def everything(store: MetadataStore, run: str = "r", attempt: str = "r.n.1") -> list[Any]:
    """What a store says of the records of :func:`one_of_each`."""
    return [
        store.run(run),
        *store.nodes(run),
        *store.attempts(run),
        *store.events(run),
        store.artifact("d" * 64),
        *store.memos(["k"]).values(),
        *store.metrics(attempt),
        *store.samples(attempt),
        *store.services(),
        *store.tokens(),
        store.audit_position("gateway"),
    ]


def home(folder: Path) -> Path:
    return folder / "home" / "argosy.db"
