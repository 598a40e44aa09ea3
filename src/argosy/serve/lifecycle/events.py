"""What happens to services, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from argosy.runtime.protocol import AttemptId
from argosy.serve.deployment import Asker, Deployment
from argosy.serve.lifecycle.state import Comparison, Replica
from argosy.serve.lifecycle.traffic import HeaderTarget


@dataclass(frozen=True, slots=True)
class Adopted:
    """The control plane has started; these (attempt, token) pairs are alive. Comes first, once."""

    time: float
    alive: frozenset[tuple[AttemptId, int]]


@dataclass(frozen=True, slots=True)
class DeployRequested:
    time: float
    deployment: Deployment


@dataclass(frozen=True, slots=True)
class DeleteRequested:
    time: float
    service: str


@dataclass(frozen=True, slots=True)
class TrafficRequested:
    """``shares`` are (revision, percent)."""

    time: float
    service: str
    shares: tuple[tuple[int, int], ...]
    headers: tuple[HeaderTarget, ...] = ()
    user: str = ""


@dataclass(frozen=True, slots=True)
class PromoteRequested:
    time: float
    service: str
    revision: int
    reason: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class RollbackRequested:
    time: float
    service: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class ScaleRequested:
    time: float
    service: str
    least: int
    most: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class ReplicasDesired:
    """The autoscaler wants so many replicas of one member."""

    time: float
    service: str
    revision: int
    member: str
    desired: int


@dataclass(frozen=True, slots=True)
class ReplicasDemanded:
    """A request waits for a part that may have no replica."""

    time: float
    service: str
    revision: int
    part: str


@dataclass(frozen=True, slots=True)
class ProcessStarted:
    time: float
    attempt: AttemptId
    token: int
    pid: int


@dataclass(frozen=True, slots=True)
class ReplicaListening:
    """It loaded its model, answered a warm-up, and listens."""

    time: float
    attempt: AttemptId
    token: int
    port: int
    grpc_port: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaChecked:
    """It was asked whether it lives; ``reason`` says why that is in doubt, or is empty."""

    time: float
    attempt: AttemptId
    token: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparer's counts since it started."""

    time: float
    attempt: AttemptId
    token: int
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    time: float
    attempt: AttemptId
    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class GatewayAnswered:
    time: float
    token: int


@dataclass(frozen=True, slots=True)
class RevisionAnswered:
    """Asked through the gateway, publicly or internally, this revision answered ready."""

    time: float
    service: str
    revision: int
    public: bool


@dataclass(frozen=True, slots=True)
class Ticked:
    time: float


Request = (
    DeployRequested
    | DeleteRequested
    | TrafficRequested
    | PromoteRequested
    | RollbackRequested
    | ScaleRequested
)
Happening = (
    Adopted
    | ReplicasDesired
    | ReplicasDemanded
    | ProcessStarted
    | ReplicaListening
    | ReplicaChecked
    | Compared
    | ProcessEnded
    | GatewayAnswered
    | RevisionAnswered
    | Ticked
)
ServeEvent = Request | Happening


@dataclass(frozen=True, slots=True)
class StartReplica:
    service: str
    revision: int
    replica: Replica


@dataclass(frozen=True, slots=True)
class StartGateway:
    token: int


@dataclass(frozen=True, slots=True)
class StopProcess:
    """Ask it to end: it may finish what it has."""

    attempt: AttemptId
    reason: str


@dataclass(frozen=True, slots=True)
class KillProcess:
    """End it at once."""

    attempt: AttemptId
    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    attempt: AttemptId
    token: int


@dataclass(frozen=True, slots=True)
class AnswerAsker:
    """Tell whoever deployed that it serves, that it will not, or that a later deployment took its place."""

    service: str
    revision: int
    asker: Asker
    state: Literal["ready", "failed", "superseded"]
    reason: str = ""


ServeCommand = StartReplica | StartGateway | StopProcess | KillProcess | Acknowledge | AnswerAsker
