"""What the activator can send requests to, and whose cluster is whose, as functions of the state."""

from __future__ import annotations

from argosy.serve.activator.core import Supply
from argosy.serve.lifecycle.state import (
    COMPARER,
    Replica,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    ServeState,
    Settings,
    part_name,
)
from argosy.serve.lifecycle.topology import cluster_name

_WITHOUT_PROCESSES = (RevisionPhase.FAILED, RevisionPhase.RETIRED)


def supplies(state: ServeState, hopeless_failures: int = Settings().hopeless_failures) -> dict[str, Supply]:
    """By cluster name, everything the gateway may lead a request to."""
    return {
        cluster_name(revision, part): _supply(revision, part, hopeless_failures)
        for service in state.services.values()
        for revision in service.revisions
        if revision.phase not in _WITHOUT_PROCESSES
        for part in (*revision.parts, COMPARER)
    }


def owner(state: ServeState, cluster: str) -> tuple[str, int, str] | None:
    """(service, revision, part) of a cluster."""
    for service in state.services.values():
        for revision in service.revisions:
            for part in revision.parts:
                if cluster_name(revision, part) == cluster:
                    return service.name, revision.number, part
    return None


def _supply(revision: Revision, part: str, hopeless_failures: int) -> Supply:
    ready = [one.port for one in revision.of(part) if one.phase is ReplicaPhase.READY and one.port]
    capacity = max(1, revision.deployment.options.batching.queue_requests)
    if ready:
        return Supply(tuple(ready), capacity)
    replicas = revision.staying(part)
    hopeless = bool(replicas) and all(one.failed_starts >= hopeless_failures for one in replicas)
    return Supply((), capacity, _trouble(replicas, part), hopeless)


def _trouble(replicas: tuple[Replica, ...], part: str) -> str:
    for replica in replicas:
        if replica.reason and replica.phase in (ReplicaPhase.BACKOFF, ReplicaPhase.STARTING):
            fault = "does not start" if replica.failed_starts else "is being replaced"
            return f"{part_name(part)} {fault}: {replica.reason}"
    for replica in replicas:
        if replica.phase is ReplicaPhase.STARTING:
            return f"{part_name(part)} is still starting"
    return f"{part_name(part)} has no replica"
