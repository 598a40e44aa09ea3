"""How revisions end: failed, abandoned, replaced or deleted."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace as change

from argosy.serve.lifecycle.events import AnswerAsker, StopProcess
from argosy.serve.lifecycle.state import ROUTER, ReplicaPhase, Revision, RevisionPhase
from argosy.serve.lifecycle.step import Step

Answer = Literal["ready", "failed", "superseded"]


def fail(step: Step, service: str, number: int, reason: str) -> None:
    """A revision that never served gives up. When no other serves it is kept, for its reason."""
    revision = step.revision(service, number)
    assert revision is not None
    answer_askers(step, service, revision, "failed", reason)
    failed = change(revision, phase=RevisionPhase.FAILED, due=None, reason=reason, askers=())
    step.put_revision(service, failed)
    _stop(step, service, number, failed.parts, "the revision failed")
    found = step.state.services[service]
    if found.current is not None:
        step.put(change(found, reason=f"revision {number} failed: {reason}"))
        remaining = step.revision(service, number)
        assert remaining is not None
        step.put_revision(service, change(remaining, phase=RevisionPhase.DRAINING))


def abandon(step: Step, service: str, revision: Revision, state: Answer, reason: str) -> None:
    """Whoever asked for it is told why; its processes end."""
    answer_askers(step, service, revision, state, reason)
    drain(step, service, change(revision, askers=()))


def drain(step: Step, service: str, revision: Revision) -> None:
    """No new requests from now on. What never had any is stopped at once."""
    had_requests = revision.phase in (RevisionPhase.SWITCHING, RevisionPhase.SERVING)
    due = step.time + (step.settings.drain_seconds if had_requests else 0.0)
    step.put_revision(service, change(revision, phase=RevisionPhase.DRAINING, due=due))
    if not had_requests:
        continue_draining(step, service, revision.number)


def continue_draining(step: Step, service: str, number: int) -> None:
    """Routers end before the members they may still be asking."""
    revision = step.revision(service, number)
    if revision is None or revision.phase is not RevisionPhase.DRAINING:
        return
    if revision.due is not None and revision.due > step.time:
        return
    step.put_revision(service, change(revision, due=None))
    _stop(step, service, number, (ROUTER,), "the revision is replaced")
    remaining = step.revision(service, number)
    if remaining is not None and not remaining.of(ROUTER):
        _stop(step, service, number, remaining.members, "the revision is replaced")


def answer_askers(step: Step, service: str, revision: Revision, state: Answer, reason: str = "") -> None:
    for asker in revision.askers:
        step.emit(AnswerAsker(service, revision.number, asker, state, reason))


def _stop(step: Step, service: str, number: int, parts: tuple[str, ...], reason: str) -> None:
    revision = step.revision(service, number)
    assert revision is not None
    for replica in revision.replicas:
        if replica.member not in parts or replica.phase is ReplicaPhase.STOPPING:
            continue
        if replica.phase is ReplicaPhase.BACKOFF:
            step.put_replica(service, number, None, replica.attempt)
            continue
        stopping = change(replica, phase=ReplicaPhase.STOPPING, since=step.time, due=None)
        step.put_replica(service, number, stopping, replica.attempt)
        step.emit(StopProcess(replica.attempt, reason))
