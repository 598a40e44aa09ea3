"""Which members of services may have more or fewer replicas, as a function of the state."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.flow.service_options import Scaling
from argosy.runtime.protocol import AttemptId
from argosy.serve.autoscaling.policy import Bounds
from argosy.serve.lifecycle.state import (
    PUBLIC,
    ROUTER,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    ServeState,
)
from argosy.serve.lifecycle.topology import cluster_name

Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Scalable:
    """One member of one revision. ``entry`` is the cluster that the requests to all members come through."""

    key: Key
    cluster: str
    entry: str
    scaling: Scaling
    bounds: Bounds
    wanted: int
    ready: tuple[tuple[AttemptId, int], ...]


def scalable(state: ServeState) -> tuple[Scalable, ...]:
    """What is at zero waits for the activator's word, and is not looked at."""
    return tuple(
        _member(name, revision, member)
        for name, service in state.services.items()
        for revision in service.revisions
        if _may_change(revision) and not service.deleting
        for member in revision.members
        if revision.wanted(member)
    )


def _may_change(revision: Revision) -> bool:
    """One that stands by keeps what it has, so that it may come back, unless it may be at zero."""
    if revision.phase is RevisionPhase.STANDBY:
        return revision.least == 0
    return revision.phase in PUBLIC and revision.least < revision.most


def _member(service: str, revision: Revision, member: str) -> Scalable:
    ready = (one for one in revision.of(member) if one.phase is ReplicaPhase.READY)
    return Scalable(
        key=(service, revision.number, member),
        cluster=cluster_name(revision, member),
        entry=cluster_name(revision, ROUTER if revision.has_router else member),
        scaling=revision.deployment.options.scaling,
        bounds=Bounds(revision.least, revision.most),
        wanted=revision.wanted(member),
        ready=tuple((one.attempt, one.token) for one in ready),
    )
