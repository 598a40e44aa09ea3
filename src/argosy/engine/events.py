"""What happened to a run. Events are committed in order; folding them again gives the same state."""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.artifacts.reference import Value
from argosy.flow.graph import NodeId
from argosy.runtime.protocol import AttemptId, Outcome


class RunSubmitted(msgspec.Struct, frozen=True, tag="run_submitted"):
    """The first event of every run."""

    time: float


class MemoFound(msgspec.Struct, frozen=True, tag="memo_found"):
    """An equal, fresh result exists and so do its artifacts. ``reason`` says whose and how old."""

    time: float
    node: NodeId
    key: str
    output: Value
    reason: str


class MemoMissed(msgspec.Struct, frozen=True, tag="memo_missed"):
    """No usable result. ``reason`` says what differs from the latest one of the same step."""

    time: float
    node: NodeId
    key: str
    reason: str


class MapExpanded(msgspec.Struct, frozen=True, tag="map_expanded"):
    """The list a node is mapped over is known."""

    time: float
    node: NodeId
    items: tuple[Value, ...]


class MapRefused(msgspec.Struct, frozen=True, tag="map_refused"):
    """What a node should be mapped over is not a list, or can not be read."""

    time: float
    node: NodeId
    reason: str


class AttemptGranted(msgspec.Struct, frozen=True, tag="attempt_granted"):
    """The scheduler gave the attempt its room."""

    time: float
    attempt: AttemptId
    token: int


class AttemptStarted(msgspec.Struct, frozen=True, tag="attempt_started"):
    """Every rank runs. ``processes`` holds (pid, start ticks) by rank."""

    time: float
    attempt: AttemptId
    token: int
    processes: tuple[tuple[int, int], ...] = ()


class AttemptEnded(msgspec.Struct, frozen=True, tag="attempt_ended"):
    """The attempt is over; ``output`` is set when it succeeded."""

    time: float
    attempt: AttemptId
    token: int
    outcome: Outcome
    output: Value | None = None


class BackoffElapsed(msgspec.Struct, frozen=True, tag="backoff_elapsed"):
    """The wait before attempt ``number`` is over."""

    time: float
    node: NodeId
    number: int


class ServiceReady(msgspec.Struct, frozen=True, tag="service_ready"):
    """The deployment asked for as ``generation`` answers. ``endpoint`` is its JSON."""

    time: float
    node: NodeId
    generation: int
    endpoint: dict[str, Any]


class ServiceFailed(msgspec.Struct, frozen=True, tag="service_failed"):
    time: float
    node: NodeId
    generation: int
    reason: str


class CancelRequested(msgspec.Struct, frozen=True, tag="cancel_requested"):
    time: float
    reason: str


Event = (
    RunSubmitted
    | MemoFound
    | MemoMissed
    | MapExpanded
    | MapRefused
    | AttemptGranted
    | AttemptStarted
    | AttemptEnded
    | BackoffElapsed
    | ServiceReady
    | ServiceFailed
    | CancelRequested
)


def event_kind(event: Event) -> str:
    return str(type(event).__struct_config__.tag)
