"""The comparer of a shadow: a process that asks both revisions, and what it has counted."""

from __future__ import annotations

from msgspec.structs import replace as change

from argosy.serve.lifecycle import counts, replicas
from argosy.serve.lifecycle.events import Compared
from argosy.serve.lifecycle.state import (
    COMPARER,
    Comparison,
    ReplicaPhase,
    RevisionPhase,
    attempt_name,
    find_replica,
)
from argosy.serve.lifecycle.step import Step


def compare(step: Step, name: str) -> None:
    """One comparer for a shadow, between it and the revision with the most requests; no other."""
    service = step.state.services.get(name)
    if service is None:
        return
    shadow, main = service.traffic.shadow, service.traffic.main
    wanted = None
    if shadow is not None and main is not None and not service.deleting:
        wanted = attempt_name(name, shadow.revision, COMPARER, main)
    for revision in service.revisions:
        for replica in revision.staying(COMPARER):
            if replica.attempt != wanted:
                replicas.let_go(step, name, revision.number, replica, "nothing is compared with it any more")
    if wanted is None or shadow is None or main is None:
        return
    found = step.revision(name, shadow.revision)
    if found is None or found.phase is not RevisionPhase.SERVING:
        return
    there = next((one for one in found.of(COMPARER) if one.attempt == wanted), None)
    if there is None:
        counts.new_replica(step, name, shadow.revision, COMPARER, main)
    elif there.phase is ReplicaPhase.LEAVING:
        back = change(there, phase=ReplicaPhase.READY, due=None, reason="")
        step.put_replica(name, shadow.revision, back, wanted)


def compared(step: Step, event: Compared) -> None:
    """New counts, on top of those of comparers before."""
    found = find_replica(step.state, event.attempt, event.token)
    if found is None:
        return
    service, revision, _ = found
    before = revision.compared if event.token == revision.comparer_token else revision.comparison
    total = added(before, event.comparison)
    step.put_revision(
        service.name,
        change(revision, compared=before, comparison=total, comparer_token=event.token),
    )


def added(first: Comparison, second: Comparison) -> Comparison:
    """The counts of both."""
    instances = first.instances + second.instances
    agreed = [one.agreement * one.instances for one in (first, second) if one.agreement is not None]
    differences = [d for d in (first.largest_difference, second.largest_difference) if d is not None]
    return Comparison(
        requests=first.requests + second.requests,
        failures=first.failures + second.failures,
        instances=instances,
        agreement=sum(agreed) / instances if agreed and instances else None,
        largest_difference=max(differences, default=None),
    )
