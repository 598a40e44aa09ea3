"""How replicas start, become ready and are replaced."""

from __future__ import annotations

from msgspec.structs import replace as change

from argosy.serve.lifecycle.events import (
    ProcessEnded,
    ProcessStarted,
    ReplicaListening,
    StartReplica,
    StopProcess,
)
from argosy.serve.lifecycle.retiring import continue_draining, fail
from argosy.serve.lifecycle.state import (
    ROUTER,
    Replica,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    find_replica,
)
from argosy.serve.lifecycle.step import Step


def launch(step: Step, service: str, number: int, replica: Replica) -> None:
    """Start it under a new token, whatever it was before."""
    started = change(
        replica,
        token=step.token(replica.token),
        phase=ReplicaPhase.STARTING,
        since=step.time,
        due=step.time + step.settings.replica_start_seconds,
        port=None,
        pid=None,
    )
    step.put_replica(service, number, started, replica.attempt)
    step.emit(StartReplica(service, number, started))


def started(step: Step, event: ProcessStarted) -> None:
    if (found := find_replica(step.state, event.attempt, event.token)) is not None:
        service, revision, replica = found
        step.put_replica(service.name, revision.number, change(replica, pid=event.pid), replica.attempt)


def listening(step: Step, event: ReplicaListening) -> None:
    """Ready. With the last of its revision the revision can be proved."""
    found = find_replica(step.state, event.attempt, event.token)
    if found is None or found[2].phase is not ReplicaPhase.STARTING:
        return
    service, revision, replica = found
    ready = change(replica, phase=ReplicaPhase.READY, since=step.time, due=None, port=event.port)
    step.put_replica(service.name, revision.number, ready, replica.attempt)
    now = step.revision(service.name, revision.number)
    assert now is not None
    all_ready = all(one.phase is ReplicaPhase.READY for one in now.replicas)
    if all_ready and now.phase is RevisionPhase.STARTING:
        step.put_revision(service.name, change(now, phase=RevisionPhase.PROVING))


def ended(step: Step, event: ProcessEnded) -> None:
    """Forgotten when it was to end, otherwise replaced."""
    if (found := find_replica(step.state, event.attempt, event.token)) is None:
        return
    service, revision, replica = found
    if replica.phase is ReplicaPhase.STOPPING or revision.phase is RevisionPhase.DRAINING:
        step.put_replica(service.name, revision.number, None, replica.attempt)
        continue_draining(step, service.name, revision.number)
    elif replica.phase is not ReplicaPhase.BACKOFF:
        _replace(step, service.name, revision, replica, event.reason)


def due(step: Step, service: str, number: int, replica: Replica) -> None:
    """A backoff is over, or a start has taken too long."""
    if replica.phase is ReplicaPhase.BACKOFF:
        launch(step, service, number, replica)
        return
    # Launched again when its process has ended: until then the name is taken.
    reason = f"it was not ready within {step.settings.replica_start_seconds:g} s"
    again = step.time + step.settings.replica_start_seconds
    step.put_replica(service, number, change(replica, due=again, reason=reason), replica.attempt)
    step.emit(StopProcess(replica.attempt, reason))


def adopt(step: Step, service: str, number: int, replica: Replica, *, alive: bool) -> None:
    """A new control plane found it, or did not."""
    if alive and replica.phase is ReplicaPhase.STOPPING:
        step.emit(StopProcess(replica.attempt, "the revision is replaced"))
    elif alive and replica.phase is ReplicaPhase.STARTING:
        # What it reported meanwhile may be lost: it gets a moment, then another start.
        soon = change(replica, due=step.time + step.settings.adoption_seconds)
        step.put_replica(service, number, soon, replica.attempt)
    elif not alive and replica.phase is not ReplicaPhase.BACKOFF:
        _adopt_missing(step, service, number, replica)


def _adopt_missing(step: Step, service: str, number: int, replica: Replica) -> None:
    revision = step.revision(service, number)
    assert revision is not None
    if replica.phase is ReplicaPhase.STOPPING or revision.phase is RevisionPhase.DRAINING:
        step.put_replica(service, number, None, replica.attempt)
        continue_draining(step, service, number)
        return
    lost = change(replica, restarts=replica.restarts + 1, reason="it ended while no control plane ran")
    launch(step, service, number, lost)


def _replace(step: Step, service: str, revision: Revision, replica: Replica, reason: str) -> None:
    settings = step.settings
    was_ready = replica.phase is ReplicaPhase.READY
    stable = was_ready and step.time - replica.since >= settings.stable_seconds
    failures = 1 if stable else replica.failures + 1
    failed = change(replica, failures=failures, restarts=replica.restarts + 1, reason=reason)
    coming = revision.phase in (RevisionPhase.STARTING, RevisionPhase.PROVING)
    if coming and not was_ready and failures >= settings.hopeless_failures:
        step.put_replica(service, revision.number, None, replica.attempt)
        what = f"model {replica.member!r}" if replica.member != ROUTER else "the router"
        fail(step, service, revision.number, f"{what} can not be started: {reason}")
        return
    wait = settings.backoff(failures)
    if wait == 0:
        launch(step, service, revision.number, failed)
        return
    waiting = change(
        failed, phase=ReplicaPhase.BACKOFF, since=step.time, due=step.time + wait, port=None, pid=None
    )
    step.put_replica(service, revision.number, waiting, replica.attempt)
