"""What happens to services, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from argosy.runtime.protocol import AttemptId
from argosy.serve.deployment import Asker, Deployment
from argosy.serve.lifecycle.state import Replica


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


ServeEvent = (
    Adopted
    | DeployRequested
    | DeleteRequested
    | ProcessStarted
    | ReplicaListening
    | ProcessEnded
    | GatewayAnswered
    | RevisionAnswered
    | Ticked
)


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
    attempt: AttemptId
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


ServeCommand = StartReplica | StartGateway | StopProcess | Acknowledge | AnswerAsker
