"""The requests and responses of the control plane's HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Start a run. ``graph`` is the JSON form of a traced graph; ``source`` maps relative paths to texts."""

    graph: dict[str, Any]
    source: dict[str, str]
    user: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The newest numbers of a running node: whatever it has reported so far. A metric that is not a finite
    number travels as null."""

    epoch: int | None = None
    step: int | None = None
    done: float | None = None
    total: float | None = None
    message: str = ""
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptView:
    attempt: str
    number: int
    state: str
    workers: int
    started_at: float | None = None
    ended_at: float | None = None
    cause: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    line: int | None = None
    peak_memory: int = 0


@dataclass(frozen=True, slots=True)
class NodeView:
    """``state``: waiting · queued · running · backoff · succeeded · cached · failed · skipped · cancelled.
    ``reason`` says in a sentence why it is in that state."""

    node: str
    step: str
    kind: str
    state: str
    label: str = ""
    reason: str = ""
    memo: str = ""
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    progress: Progress | None = None
    attempts: list[AttemptView] = field(default_factory=list)
    output: dict[str, Any] | None = None
    upstream: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunView:
    """``state``: running · succeeded · failed · cancelled. ``output`` is the value the workflow returned, as
    JSON (artifacts that are not JSON appear as their reference)."""

    run: str
    workflow: str
    state: str
    created_at: float
    ended_at: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    user: str = ""
    reason: str = ""
    nodes: list[NodeView] = field(default_factory=list)
    output: Any = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    run: str
    workflow: str
    state: str
    created_at: float
    ended_at: float | None
    nodes: int
    finished: int
    cached: int
    failed: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class ReplicaView:
    replica: str
    state: str
    port: int | None = None
    pid: int | None = None
    restarts: int = 0
    grpc_port: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MemberView:
    """One model of a service, callable by itself under ``name``."""

    name: str
    model: str
    digest: str
    url: str
    replicas: list[ReplicaView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """What a shadow's answers were beside those of the revision that serves. ``agreement`` is the share of
    instances whose best class is the same; ``largest_difference`` is in any number of any answer."""

    requests: int = 0
    failures: int = 0
    instances: int = 0
    agreement: float | None = None
    largest_difference: float | None = None


@dataclass(frozen=True, slots=True)
class RevisionView:
    """``state``: starting · serving · standby · draining · failed. ``percent`` of the requests come to it;
    ``shadow_percent`` are copied to it."""

    revision: int
    state: str
    version: int
    percent: int
    created_at: float
    reason: str = ""
    run: str = ""
    user: str = ""
    shadow_percent: int = 0
    headers: list[str] = field(default_factory=list)
    comparison: ComparisonView | None = None
    members: list[MemberView] = field(default_factory=list)
    routers: list[ReplicaView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """One change of what a service is: ``action`` is deploy · promote · rollback · traffic · scale."""

    time: float
    action: str
    traffic: dict[str, int]
    reason: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """``state``: starting · ready · idle · degraded · failed · stopped. ``url`` is the gateway's predict
    address. ``replicas`` is (least, most) of each model; ``members`` are those of the revision with the most
    requests; ``scaling`` says why there are as many replicas as there are."""

    name: str
    state: str
    revision: int
    url: str
    aggregate: str
    created_at: float
    reason: str = ""
    run: str = ""
    members: list[MemberView] = field(default_factory=list)
    strategy: str = "replicated"
    replicas: tuple[int, int] = (1, 1)
    scaling: str = ""
    revisions: list[RevisionView] = field(default_factory=list)
    releases: list[ReleaseView] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatusView:
    """The control plane itself."""

    version: str
    home: str
    pid: int
    started_at: float
    gateway: str
    cpu_total: float
    cpu_used: float
    memory_total: int
    memory_used: int
    runs_active: int
    services: int
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a rank of an attempt wrote, without its line end."""

    node: str
    attempt: str
    rank: int
    text: str


@dataclass(frozen=True, slots=True)
class ShutdownRequest:
    """Stop the control plane. ``keep_services`` leaves every process it started alive for the next one to
    adopt; otherwise nothing is left, and recorded services start again with the next control plane."""

    keep_services: bool = False


@dataclass(frozen=True, slots=True)
class ShutdownView:
    """What a stop ends: names of ``services``, and ids of unfinished ``runs``, which resume later."""

    pid: int
    services: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ErrorView:
    """Every response that is not a success."""

    code: str
    message: str
    hint: str = ""
    context: dict[str, Any] = field(default_factory=dict)
