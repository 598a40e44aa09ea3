"""What the core asks the shell to do. Each is idempotent: a recovered engine may ask again."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.artifacts.reference import Value
from argosy.flow.graph import NodeId
from argosy.runtime.protocol import AttemptId, Cause


@dataclass(frozen=True, slots=True)
class LookUpMemo:
    """Is there a usable result under ``key``? ``parts`` are the digests the key is made of."""

    node: NodeId
    key: str
    parts: dict[str, str]
    max_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep the node's output under ``key`` for later runs."""

    node: NodeId
    key: str
    parts: dict[str, str]
    output: Value


@dataclass(frozen=True, slots=True)
class ReadList:
    """Read the items of a stored JSON list that a node is mapped over."""

    node: NodeId
    value: Value


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Ask the scheduler for the room of one attempt."""

    node: NodeId
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Give an attempt's place, or the room it held, back to the scheduler."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the processes of an attempt on ``inputs``."""

    node: NodeId
    attempt: AttemptId
    token: int
    inputs: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Stop:
    """End the processes of an attempt; its end will be reported with ``cause``."""

    attempt: AttemptId
    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Post BackoffElapsed at ``time``."""

    node: NodeId
    number: int
    time: float


@dataclass(frozen=True, slots=True)
class Deploy:
    """Make ``models`` the service of the node."""

    node: NodeId
    generation: int
    models: Value


@dataclass(frozen=True, slots=True)
class FinishRun:
    """Nothing of the run is left to do."""


Command = (
    LookUpMemo | Remember | ReadList | Enqueue | Withdraw | Launch | Stop | StartTimer | Deploy | FinishRun
)
