"""What the serve room knows: services, their revisions, the replicas of each, and the gateway.

A service is stored as JSON whenever it changes; the gateway's state is remembered in its own folder.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from argosy.flow.service_options import Strategy
from argosy.runtime.protocol import AttemptId
from argosy.serve.deployment import Asker, Deployment
from argosy.serve.lifecycle.traffic import Move, Release, Traffic, all_to

GATEWAY_ATTEMPT = AttemptId("gateway-envoy")
ROUTER = ""
# No model can have this name.
COMPARER = "+comparer"
# Routers carry no model: a second one is there so that losing one loses no request.
MOST_ROUTERS = 2


class ReplicaPhase(enum.StrEnum):
    STARTING = "starting"  # launched; not listening yet
    READY = "ready"
    HUNG = "hung"  # does not answer: it is being ended, and then another takes its place
    BACKOFF = "backoff"  # ended too often: launched again when due
    LEAVING = "leaving"  # one too many: gets no new requests, and is stopped when due
    STOPPING = "stopping"


ENDING = (ReplicaPhase.LEAVING, ReplicaPhase.STOPPING)


class RevisionPhase(enum.StrEnum):
    STARTING = "starting"  # its replicas come up, unknown to the gateway's public side
    PROVING = "proving"  # asked through the gateway's internal side
    SWITCHING = "switching"  # gets requests; until the public side was seen to answer from it
    SERVING = "serving"  # gets requests, or copies of them
    STANDBY = "standby"  # ready, without requests; its processes end when due
    DRAINING = "draining"  # its processes end when due, routers first
    RETIRED = "retired"  # without processes; can be started again
    FAILED = "failed"  # never became ready; kept to say why


PUBLIC = (RevisionPhase.SWITCHING, RevisionPhase.SERVING)
COMING = (RevisionPhase.STARTING, RevisionPhase.PROVING)
ALIVE = (*COMING, *PUBLIC, RevisionPhase.STANDBY)


class Replica(msgspec.Struct, frozen=True):
    """One model server, router or comparer, by ``member``. ``due`` ends what its phase waits for.

    ``unanswered`` counts the checks in a row that it did not answer, ``failures`` the times in a row that it
    ended early, ``failed_starts`` those of them since it was last ready.
    """

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
    grpc_port: int = 0
    unanswered: int = 0
    failed_starts: int = 0


class Comparison(msgspec.Struct, frozen=True):
    """What a comparer has counted."""

    requests: int = 0
    failures: int = 0
    instances: int = 0
    agreement: float | None = None
    largest_difference: float | None = None


class Revision(msgspec.Struct, frozen=True):
    """One version of a service. ``due`` ends what its phase waits for.

    ``bounds`` are (least, most) replicas where they were changed after the deployment; ``desired`` says how
    many each member has. ``proved``: it was ready once. ``seen``: the public side once answered from it.
    ``forget``: nothing of it stays after its processes.
    ``comparison`` is of the comparer with ``comparer_token``, on top of ``compared`` by those before it.
    """

    number: int
    deployment: Deployment
    phase: RevisionPhase
    created_at: float
    replicas: tuple[Replica, ...]
    due: float | None = None
    reason: str = ""
    askers: tuple[Asker, ...] = ()
    bounds: tuple[int, int] | None = None
    desired: dict[str, int] = {}
    proved: bool = False
    seen: bool = False
    forget: bool = False
    comparison: Comparison = Comparison()
    compared: Comparison = Comparison()
    comparer_token: int = 0

    def of(self, member: str) -> tuple[Replica, ...]:
        return tuple(replica for replica in self.replicas if replica.member == member)

    def staying(self, member: str) -> tuple[Replica, ...]:
        """Those of a part that are not one too many."""
        return tuple(replica for replica in self.of(member) if replica.phase not in ENDING)

    def is_ready(self, member: str) -> bool:
        return any(replica.phase is ReplicaPhase.READY for replica in self.of(member))

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.deployment.models)

    @property
    def is_sharded(self) -> bool:
        return self.deployment.options.strategy is Strategy.SHARDED

    @property
    def has_router(self) -> bool:
        return len(self.deployment.models) > 1 or self.is_sharded

    @property
    def parts(self) -> tuple[str, ...]:
        """What must have a ready replica for the service to answer."""
        return (*self.members, ROUTER) if self.has_router else self.members

    @property
    def least(self) -> int:
        if self.bounds is None and self.deployment.options.strategy is Strategy.EVENT:
            return 0
        return (self.bounds or self.deployment.replicas)[0]

    @property
    def most(self) -> int:
        return max(1, (self.bounds or self.deployment.replicas)[1])

    def wanted(self, part: str) -> int:
        """How many replicas a part should have. The proof of a revision needs one of each."""
        if part == ROUTER:
            return min(MOST_ROUTERS, max(self.wanted(member) for member in self.members))
        proof = 1 if self.phase in (*COMING, RevisionPhase.SWITCHING) else 0
        desired = self.desired.get(part, max(1, self.least))
        return min(self.most, max(desired, self.least, proof))


class Service(msgspec.Struct, frozen=True):
    """``revisions`` in order. ``traffic`` says which get requests, ``releases`` how it came to that."""

    name: str
    created_at: float
    revisions: tuple[Revision, ...] = ()
    last_revision: int = 0
    deleting: bool = False
    reason: str = ""
    traffic: Traffic = Traffic()
    releases: tuple[Release, ...] = ()
    pending: Move | None = None

    def revision(self, number: int | None) -> Revision | None:
        return next((one for one in self.revisions if one.number == number), None)

    @property
    def current(self) -> Revision | None:
        """The revision with the most requests."""
        found = None if self.deleting else self.revision(self.traffic.main)
        return found if found is not None and found.phase in PUBLIC else None

    @property
    def coming(self) -> Revision | None:
        """The deployment that is on its way."""
        found = (one for one in self.revisions if one.phase in COMING and not one.proved and not one.forget)
        return next(found, None)

    @property
    def failed(self) -> Revision | None:
        """The last deployment, if it failed."""
        newest = self.revisions[-1] if self.revisions else None
        return newest if newest is not None and newest.phase is RevisionPhase.FAILED else None


def upgraded(service: Service) -> Service:
    """A service as it may have been stored before there were pointers, with the one it stands for."""
    public = [one.number for one in service.revisions if one.phase in PUBLIC]
    if service.traffic.shares or not public:
        return service
    structs = msgspec.structs
    revisions = tuple(
        structs.replace(one, proved=True)
        if one.phase in PUBLIC
        else structs.replace(one, forget=one.phase is RevisionPhase.DRAINING)
        for one in service.revisions
    )
    return structs.replace(service, revisions=revisions, traffic=all_to(public[-1]))


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
    """Times in seconds. A replica that ran for ``stable_seconds`` has used up its earlier failures.

    A revision that lost its requests keeps its processes for ``standby_seconds``, the last
    ``standby_revisions`` at most. A replica is asked every ``check_seconds`` whether it lives; one that did
    not answer ``unanswered_checks`` in a row is asked to end, and killed after ``kill_seconds``. What scales
    is sampled every ``sample_seconds``.
    """

    deployment_seconds: float = 60.0
    replica_start_seconds: float = 30.0
    adoption_seconds: float = 3.0
    gateway_start_seconds: float = 10.0
    drain_seconds: float = 0.25
    standby_seconds: float = 600.0
    standby_revisions: int = 2
    kill_seconds: float = 2.0
    check_seconds: float = 3.0
    check_timeout_seconds: float = 2.0
    unanswered_checks: int = 3
    sample_seconds: float = 1.0
    stable_seconds: float = 10.0
    backoff_seconds: float = 0.25
    backoff_maximum_seconds: float = 10.0
    hopeless_failures: int = 3
    kept_revisions: int = 10
    kept_releases: int = 50

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
    """``service-NAME.rREVISION.MEMBER.INDEX``, ``.router-INDEX`` or ``.comparer-SERVING_REVISION``."""
    places = {ROUTER: f"router-{index}", COMPARER: f"comparer-{index}"}
    return AttemptId(f"service-{service}.r{revision}.{places.get(member, f'{member}.{index}')}")


def place(replica: Replica) -> str:
    """Where a replica is in its revision: ``MEMBER.INDEX``, ``router-INDEX`` or ``comparer-REVISION``."""
    return replica.attempt.partition(".")[2].partition(".")[2]


def part_name(part: str) -> str:
    """How people know a part."""
    return {ROUTER: "the router", COMPARER: "the comparer"}.get(part, f"model {part!r}")


def next_due(state: ServeState) -> float | None:
    """When something is to be decided though nothing happens."""
    times = [replica.due for _, _, replica in all_replicas(state)]
    times += [revision.due for service in state.services.values() for revision in service.revisions]
    times += [service.pending.due for service in state.services.values() if service.pending]
    times.append(state.gateway.due)
    return min((time for time in times if time is not None), default=None)
