"""How many replicas each part of a revision has, and how that number changes."""

from __future__ import annotations

from msgspec.structs import replace as change

from argosy.errors import InvalidRequest
from argosy.serve.lifecycle import replicas
from argosy.serve.lifecycle.events import ReplicasDemanded, ReplicasDesired, ScaleRequested
from argosy.serve.lifecycle.state import (
    ALIVE,
    PUBLIC,
    ROUTER,
    Replica,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    attempt_name,
    place,
)
from argosy.serve.lifecycle.step import Step
from argosy.serve.lifecycle.traffic import Release

MOST_REPLICAS = 256
_TOO_MANY = "there are more replicas than are needed"
_LAST_TO_GO = (ReplicaPhase.BACKOFF, ReplicaPhase.HUNG, ReplicaPhase.STARTING, ReplicaPhase.READY)


def desired(step: Step, event: ReplicasDesired) -> None:
    """As many as the autoscaler wants, within the bounds."""
    revision = step.revision(event.service, event.revision)
    if revision is None or revision.phase not in (*PUBLIC, RevisionPhase.STANDBY):
        return
    if event.member in revision.members:
        _want(step, event.service, revision, {event.member: event.desired})


def demanded(step: Step, event: ReplicasDemanded) -> None:
    """One at least: of every member when the request is for all of them."""
    revision = step.revision(event.service, event.revision)
    if revision is None or revision.phase not in ALIVE:
        return
    members = revision.members if event.part == ROUTER else (event.part,)
    missing = {name: 1 for name in members if name in revision.members and not revision.wanted(name)}
    if missing:
        _want(step, event.service, revision, missing)


def scale(step: Step, event: ScaleRequested) -> None:
    """Other bounds, for every revision of the service. Raises InvalidRequest."""
    least, most = event.least, event.most
    if not 0 <= least <= most <= MOST_REPLICAS or most < 1:
        raise InvalidRequest(
            f"service {event.service!r} can not have {least} to {most} replicas, "
            f"expected 0 <= least <= most <= {MOST_REPLICAS} and 1 <= most",
            hint=f"write it like `argosy scale {event.service} 1:4`",
        )
    service = step.state.services[event.service]
    revisions = tuple(change(one, bounds=(least, most)) for one in service.revisions)
    scaled = Release(step.time, "scale", service.traffic, f"{least} to {most} replicas", event.user)
    kept = (*service.releases, scaled)[-step.settings.kept_releases :]
    step.put(change(service, revisions=revisions, releases=kept))


def adjust(step: Step, service: str, number: int) -> None:
    """Start what is missing and let go of what is too much."""
    revision = step.revision(service, number)
    if revision is None or revision.phase not in ALIVE:
        return
    for part in revision.parts:
        staying = revision.staying(part)
        surplus = len(staying) - revision.wanted(part)
        if surplus < 0:
            _grow(step, service, revision, part, -surplus)
        for replica in sorted(staying, key=_order)[: max(0, surplus)]:
            replicas.let_go(step, service, number, replica, _TOO_MANY)


def new_replica(step: Step, service: str, number: int, part: str, index: int) -> None:
    name = attempt_name(service, number, part, index)
    replica = Replica(name, part, 0, ReplicaPhase.STARTING, step.time)
    step.add_replica(service, number, replica)
    replicas.launch(step, service, number, replica)


def _want(step: Step, service: str, revision: Revision, wanted: dict[str, int]) -> None:
    now = {name: revision.wanted(name) for name in revision.members} | wanted
    inside = {name: min(revision.most, max(revision.least, count)) for name, count in now.items()}
    if inside != revision.desired:
        step.put_revision(service, change(revision, desired=inside))


def _grow(step: Step, service: str, revision: Revision, part: str, count: int) -> None:
    """Those that are about to leave stay; the others get the lowest places that are free."""
    leaving = [one for one in revision.of(part) if one.phase is ReplicaPhase.LEAVING][:count]
    for replica in leaving:
        back = change(replica, phase=ReplicaPhase.READY, due=None, reason="")
        step.put_replica(service, revision.number, back, replica.attempt)
    taken = {replica.attempt for replica in revision.replicas}
    index = 0
    for _ in range(count - len(leaving)):
        while attempt_name(service, revision.number, part, index) in taken:
            index += 1
        new_replica(step, service, revision.number, part, index)
        index += 1


def _order(replica: Replica) -> tuple[int, int]:
    """First those that answer nothing, then the highest places."""
    index = place(replica).replace("-", ".").rpartition(".")[2]
    return (_LAST_TO_GO.index(replica.phase), -int(index))
