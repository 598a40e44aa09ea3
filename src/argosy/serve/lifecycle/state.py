"""What the serve room knows: services, their revisions, the replicas of each, and the gateway.

A service is stored as JSON whenever it changes; the gateway's state is remembered in its own folder.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from argosy.runtime.protocol import AttemptId
from argosy.serve.deployment import Asker, Deployment

GATEWAY_ATTEMPT = AttemptId("gateway-envoy")
ROUTER = ""


class ReplicaPhase(enum.StrEnum):
    STARTING = "starting"  # launched; not listening yet
    READY = "ready"
    BACKOFF = "backoff"  # ended too often: launched again when due
    STOPPING = "stopping"


class RevisionPhase(enum.StrEnum):
    STARTING = "starting"  # its replicas come up, unknown to the gateway's public side
    PROVING = "proving"  # asked through the gateway's internal side
    SWITCHING = "switching"  # public, until the public side was seen to answer from it
    SERVING = "serving"
    DRAINING = "draining"  # no new requests; stopped when due, routers first
    FAILED = "failed"  # never became ready; kept to say why


class Replica(msgspec.Struct, frozen=True):
    """One model server, or one router (``member`` is empty). ``due`` ends a backoff or a slow start."""

    attempt: AttemptId
    member: str
    token: int
    phase: ReplicaPhase
    since: float
    due: float | None = None
    port: int | None = None
    pid: int | None = None
    restarts: int = 0
    failures: int = 0
    reason: str = ""


class Revision(msgspec.Struct, frozen=True):
    """One version of a service. ``due`` is when a start has taken too long, or a draining one is stopped."""

    number: int
    deployment: Deployment
    phase: RevisionPhase
    created_at: float
    replicas: tuple[Replica, ...]
    due: float | None = None
    reason: str = ""
    askers: tuple[Asker, ...] = ()

    def of(self, member: str) -> tuple[Replica, ...]:
        return tuple(replica for replica in self.replicas if replica.member == member)

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.deployment.models)

    @property
    def has_router(self) -> bool:
        return len(self.deployment.models) > 1

    @property
    def parts(self) -> tuple[str, ...]:
        """What must have a ready replica for the service to answer."""
        return (*self.members, ROUTER) if self.has_router else self.members


class Service(msgspec.Struct, frozen=True):
    """``revisions`` in order; at most one is SWITCHING or SERVING, at most one STARTING or PROVING."""

    name: str
    created_at: float
    revisions: tuple[Revision, ...] = ()
    last_revision: int = 0
    deleting: bool = False
    reason: str = ""

    @property
    def current(self) -> Revision | None:
        """The revision that public requests go to."""
        return self._in(RevisionPhase.SWITCHING, RevisionPhase.SERVING)

    @property
    def coming(self) -> Revision | None:
        return self._in(RevisionPhase.STARTING, RevisionPhase.PROVING)

    @property
    def failed(self) -> Revision | None:
        return self._in(RevisionPhase.FAILED)

    def _in(self, *phases: RevisionPhase) -> Revision | None:
        return next((revision for revision in self.revisions if revision.phase in phases), None)


class GatewayPhase(enum.StrEnum):
    DOWN = "down"
    STARTING = "starting"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Gateway:
    token: int = 0
    phase: GatewayPhase = GatewayPhase.DOWN
    since: float = 0.0
    due: float | None = None
    failures: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ServeState:
    services: Mapping[str, Service] = field(default_factory=dict)
    gateway: Gateway = Gateway()


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. A replica that ran for ``stable_seconds`` has used up its earlier failures."""

    deployment_seconds: float = 60.0
    replica_start_seconds: float = 30.0
    adoption_seconds: float = 3.0
    gateway_start_seconds: float = 10.0
    drain_seconds: float = 0.25
    stable_seconds: float = 10.0
    backoff_seconds: float = 0.25
    backoff_maximum_seconds: float = 10.0
    hopeless_failures: int = 3

    def backoff(self, failures: int) -> float:
        """The wait after that many failures in a row: none after the first, then doubling."""
        if failures <= 1:
            return 0.0
        return min(self.backoff_maximum_seconds, self.backoff_seconds * 2.0 ** min(failures - 2, 20))


def all_replicas(state: ServeState) -> Iterator[tuple[Service, Revision, Replica]]:
    for service in state.services.values():
        for revision in service.revisions:
            for replica in revision.replicas:
                yield service, revision, replica


def find_replica(
    state: ServeState, attempt: AttemptId, token: int
) -> tuple[Service, Revision, Replica] | None:
    for found in all_replicas(state):
        if found[2].attempt == attempt and found[2].token == token:
            return found
    return None


def attempt_name(service: str, revision: int, member: str, index: int) -> AttemptId:
    """``service-NAME.rREVISION.MEMBER.INDEX``; a router is ``service-NAME.rREVISION.router-INDEX``."""
    place = f"router-{index}" if member == ROUTER else f"{member}.{index}"
    return AttemptId(f"service-{service}.r{revision}.{place}")


def next_due(state: ServeState) -> float | None:
    """When something is to be decided though nothing happens."""
    times = [replica.due for _, _, replica in all_replicas(state)]
    times += [revision.due for service in state.services.values() for revision in service.revisions]
    times.append(state.gateway.due)
    return min((time for time in times if time is not None), default=None)
