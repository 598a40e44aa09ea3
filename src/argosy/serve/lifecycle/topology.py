"""What the gateway must know, as a function of the state: clusters, and which names lead to them."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.serve.gateway.topology import (
    Backend,
    Cluster,
    Endpoint,
    HeaderRule,
    PublicService,
    RevokedToken,
    Shadow,
    Share,
    Topology,
)
from argosy.serve.lifecycle.state import (
    COMPARER,
    ROUTER,
    GatewayPhase,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    ServeState,
    Service,
    place,
)

_WITHOUT_PROCESSES = (RevisionPhase.FAILED, RevisionPhase.RETIRED)


@dataclass(frozen=True, slots=True, order=True)
class Probe:
    """Ask the gateway until it answers: itself (``service`` is empty), or a revision through it."""

    service: str
    revision: int
    public: bool
    token: int = 0


def authority(service: str, revision: int) -> str:
    return f"r{revision}.{service}"


def member_model(service: str, member: str) -> str:
    """The model name under which one member of a service is called by itself."""
    return f"{service}.{member}"


def model_names(revision: Revision, member: str) -> tuple[str, ...]:
    """The names a member's replicas answer to: a service of one model and its member are the same thing."""
    service = revision.deployment.service
    own = member_model(service, member)
    return (own,) if revision.has_router else (service, own)


def topology(state: ServeState, revoked: tuple[RevokedToken, ...] = ()) -> Topology:
    """Everything with processes has clusters and an internal side; only what gets requests is public."""
    clusters: list[Cluster] = []
    backends: list[Backend] = []
    for service in state.services.values():
        for revision in service.revisions:
            if revision.phase in _WITHOUT_PROCESSES:
                continue
            clusters += (_cluster(revision, part) for part in revision.parts)
            if revision.of(COMPARER):
                clusters.append(_cluster(revision, COMPARER))
            backends.append(_backend(revision))
    public = (_public(service) for service in state.services.values())
    return Topology(tuple(clusters), tuple(backends), tuple(one for one in public if one), revoked)


def _public(service: Service) -> PublicService | None:
    current = service.current
    if current is None:
        return None
    traffic = service.traffic
    return PublicService(
        service.name,
        tuple(Share(number, percent) for number, percent in traffic.shares),
        tuple(HeaderRule(rule.header, rule.value, rule.revision) for rule in traffic.headers),
        _shadow(service),
        current.deployment.options.access,
    )


def _shadow(service: Service) -> Shadow | None:
    """Nothing is copied before the comparer is there."""
    target = service.traffic.shadow
    revision = service.revision(target.revision) if target else None
    if target is None or revision is None or not revision.is_ready(COMPARER):
        return None
    return Shadow(target.revision, target.percent, cluster_name(revision, COMPARER))


def probes(state: ServeState) -> frozenset[Probe]:
    """What is waited for: a probe lasts as long as it is in this set."""
    wanted = set()
    if state.gateway.phase is GatewayPhase.STARTING:
        wanted.add(Probe("", 0, True, state.gateway.token))
    for service in state.services.values():
        for revision in service.revisions:
            if revision.phase in (RevisionPhase.PROVING, RevisionPhase.SWITCHING):
                public = revision.phase is RevisionPhase.SWITCHING
                wanted.add(Probe(service.name, revision.number, public))
    return frozenset(wanted)


def cluster_name(revision: Revision, part: str) -> str:
    name = f"{revision.deployment.service}.r{revision.number}"
    return name if part == ROUTER else f"{name}.{part}"


def _cluster(revision: Revision, part: str) -> Cluster:
    endpoints = tuple(
        Endpoint(place(replica), replica.port, replica.grpc_port)
        for replica in revision.of(part)
        if replica.phase is ReplicaPhase.READY and replica.port is not None
    )
    name, balancing = cluster_name(revision, part), revision.deployment.options.balancing
    return Cluster(name, endpoints, balancing, _room(revision, part))


def _room(revision: Revision, part: str) -> int:
    """What its replicas take before one of them refuses: of each, what waits, and the batch under way. Of how
    many requests that is, is not known here: of one when they have many rows each. With a short queue, where
    it matters how long they wait, no more is counted on, since a replica refuses slowly.

    An ensemble takes no more than its narrowest member. A sharded service is bounded by its router's window.
    """
    if part == COMPARER or (part == ROUTER and revision.is_sharded):
        return 0
    batching = revision.deployment.options.batching
    queue = batching.queue_requests
    each = queue + max(1, min(batching.max_batch_size, queue // 4))
    members = revision.members if part == ROUTER else (part,)
    ready = [sum(one.phase is ReplicaPhase.READY for one in revision.of(member)) for member in members]
    return each * min((count for count in ready if count), default=0)


def _backend(revision: Revision) -> Backend:
    service = revision.deployment.service
    entry = cluster_name(revision, ROUTER if revision.has_router else revision.members[0])
    members = ((member_model(service, name), cluster_name(revision, name)) for name in revision.members)
    return Backend(
        service,
        revision.number,
        authority(service, revision.number),
        ((service, entry), *members),
        revision.deployment.version or revision.number,
        streaming=revision.is_sharded,
        body_bytes=revision.deployment.options.sharding.body_bytes if revision.is_sharded else 0,
    )
