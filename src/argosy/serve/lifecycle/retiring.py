"""How revisions end: failed, abandoned, replaced or deleted."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace as change

from argosy.serve.lifecycle.events import AnswerAsker, StopProcess
from argosy.serve.lifecycle.state import (
    ALIVE,
    COMPARER,
    ROUTER,
    ReplicaPhase,
    Revision,
    RevisionPhase,
)
from argosy.serve.lifecycle.step import Step

Answer = Literal["ready", "failed", "superseded"]


def fail(step: Step, service: str, number: int, reason: str) -> None:
    """A revision that does not come up gives up: one that was ready before goes back to rest."""
    revision = step.expect(service, number)
    answer_askers(step, service, revision, "failed", reason)
    _give_up_move(step, service, number, reason)
    found = step.state.services[service]
    if found.traffic.shares:
        step.put(change(found, reason=f"revision {number} failed: {reason}"))
    failed = change(revision, reason=reason, askers=(), due=None)
    if revision.proved:
        step.put_revision(service, change(failed, phase=RevisionPhase.DRAINING))
        continue_draining(step, service, number)
        return
    step.put_revision(service, change(failed, phase=RevisionPhase.FAILED))
    _stop(step, service, number, (*failed.parts, COMPARER), "the revision failed")


def abandon(step: Step, service: str, revision: Revision, state: Answer, reason: str) -> None:
    """Whoever asked for it is told why; its processes end, and nothing of it stays."""
    answer_askers(step, service, revision, state, reason)
    _give_up_move(step, service, revision.number, reason)
    drain(step, service, change(revision, askers=(), forget=True))


def drain(step: Step, service: str, revision: Revision) -> None:
    """No new requests from now on. What can not have any is stopped at once."""
    had_requests = revision.proved and revision.phase in ALIVE and revision.phase != RevisionPhase.STANDBY
    due = step.time + (step.settings.drain_seconds if had_requests else 0.0)
    if revision.phase in (RevisionPhase.FAILED, RevisionPhase.RETIRED) and not revision.replicas:
        step.put_revision(service, revision)
        return
    step.put_revision(service, change(revision, phase=RevisionPhase.DRAINING, due=due))
    if not had_requests:
        continue_draining(step, service, revision.number)


def stand_by(step: Step, service: str, revision: Revision) -> None:
    """It gets no requests any more, and keeps its processes for a while: they may come back. Only the last
    few do: many deployments in a row must not fill the memory."""
    answer_askers(step, service, revision, "ready")
    due = step.time + max(step.settings.standby_seconds, step.settings.drain_seconds)
    step.put_revision(service, change(revision, phase=RevisionPhase.STANDBY, due=due, askers=()))
    found = step.state.services[service]
    waiting = [one for one in found.revisions if one.phase is RevisionPhase.STANDBY and one.due is not None]
    waiting.sort(key=lambda one: (one.due, one.number))
    for earlier in waiting[: max(0, len(waiting) - step.settings.standby_revisions)]:
        drain(step, service, earlier)


def continue_draining(step: Step, service: str, number: int) -> None:
    """Routers and comparers end before the members they may still be asking."""
    revision = step.revision(service, number)
    if revision is None or revision.phase is not RevisionPhase.DRAINING:
        return
    if revision.due is not None and revision.due > step.time:
        return
    step.put_revision(service, change(revision, due=None))
    _stop(step, service, number, (ROUTER, COMPARER), "the revision is replaced")
    remaining = step.revision(service, number)
    if remaining is not None and not remaining.of(ROUTER):
        _stop(step, service, number, remaining.members, "the revision is replaced")


def answer_askers(step: Step, service: str, revision: Revision, state: Answer, reason: str = "") -> None:
    for asker in revision.askers:
        step.emit(AnswerAsker(service, revision.number, asker, state, reason))


def _give_up_move(step: Step, service: str, number: int, reason: str) -> None:
    found = step.state.services[service]
    if found.pending is not None and number in found.pending.traffic.revisions:
        what = f"{found.pending.action} was given up: revision {number}: {reason}"
        step.put(change(found, pending=None, reason=what))


def _stop(step: Step, service: str, number: int, parts: tuple[str, ...], reason: str) -> None:
    revision = step.expect(service, number)
    for replica in revision.replicas:
        if replica.member not in parts or replica.phase is ReplicaPhase.STOPPING:
            continue
        if replica.phase is ReplicaPhase.BACKOFF:
            step.put_replica(service, number, None, replica.attempt)
            continue
        stopping = change(replica, phase=ReplicaPhase.STOPPING, since=step.time, due=None)
        step.put_replica(service, number, stopping, replica.attempt)
        step.emit(StopProcess(replica.attempt, reason))
