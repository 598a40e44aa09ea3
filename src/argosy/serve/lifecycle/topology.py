"""What the gateway must know, as a function of the state: clusters, and which names lead to them."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.serve.gateway.topology import Backend, Cluster, Endpoint, PublicService, Share, Topology
from argosy.serve.lifecycle.state import (
    ROUTER,
    GatewayPhase,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    ServeState,
)


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


def topology(state: ServeState) -> Topology:
    """Everything with processes has clusters and an internal side; only what serves is public."""
    clusters: list[Cluster] = []
    backends: list[Backend] = []
    public: list[PublicService] = []
    for service in state.services.values():
        for revision in service.revisions:
            if revision.phase is RevisionPhase.FAILED:
                continue
            clusters += (_cluster(revision, part) for part in revision.parts)
            backends.append(_backend(revision))
        current = service.current
        if current is not None and not service.deleting:
            access = current.deployment.options.access
            public.append(PublicService(service.name, (Share(current.number, 100),), access=access))
    return Topology(tuple(clusters), tuple(backends), tuple(public))


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


def _cluster_name(revision: Revision, part: str) -> str:
    name = f"{revision.deployment.service}.r{revision.number}"
    return name if part == ROUTER else f"{name}.{part}"


def _cluster(revision: Revision, part: str) -> Cluster:
    endpoints = tuple(
        Endpoint(replica.attempt.partition(".")[2].partition(".")[2], replica.port)
        for replica in revision.of(part)
        if replica.phase is ReplicaPhase.READY and replica.port is not None
    )
    return Cluster(_cluster_name(revision, part), endpoints, revision.deployment.options.balancing)


def _backend(revision: Revision) -> Backend:
    service = revision.deployment.service
    entry = _cluster_name(revision, ROUTER if revision.has_router else revision.members[0])
    members = ((member_model(service, name), _cluster_name(revision, name)) for name in revision.members)
    return Backend(
        service,
        revision.number,
        authority(service, revision.number),
        ((service, entry), *members),
        revision.deployment.version or revision.number,
    )
