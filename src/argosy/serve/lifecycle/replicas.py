"""How replicas start, become ready and are replaced."""

from __future__ import annotations

from msgspec.structs import replace as change

from argosy.serve.lifecycle.events import (
    KillProcess,
    ProcessEnded,
    ProcessStarted,
    ReplicaChecked,
    ReplicaListening,
    StartReplica,
    StopProcess,
)
from argosy.serve.lifecycle.retiring import continue_draining, fail
from argosy.serve.lifecycle.state import (
    COMING,
    ENDING,
    Replica,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    find_replica,
    part_name,
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
        grpc_port=0,
        pid=None,
        unanswered=0,
    )
    step.put_replica(service, number, started, replica.attempt)
    step.emit(StartReplica(service, number, started))


def started(step: Step, event: ProcessStarted) -> None:
    if (found := find_replica(step.state, event.attempt, event.token)) is not None:
        service, revision, replica = found
        if replica.pid != event.pid:
            step.put_replica(service.name, revision.number, change(replica, pid=event.pid), replica.attempt)


def listening(step: Step, event: ReplicaListening) -> None:
    """Ready. With the last of its revision the revision can be proved."""
    found = find_replica(step.state, event.attempt, event.token)
    if found is None or found[2].phase is not ReplicaPhase.STARTING:
        return
    service, revision, replica = found
    ready = change(
        replica,
        phase=ReplicaPhase.READY,
        since=step.time,
        due=None,
        port=event.port,
        grpc_port=event.grpc_port,
    )
    step.put_replica(service.name, revision.number, ready, replica.attempt)
    prove_if_ready(step, service.name, revision.number)


def prove_if_ready(step: Step, service: str, number: int) -> None:
    """A revision on its way is asked through the gateway once each of its processes is ready."""
    revision = step.expect(service, number)
    staying = [replica for part in revision.parts for replica in revision.staying(part)]
    all_ready = all(replica.phase is ReplicaPhase.READY for replica in staying)
    if revision.phase is RevisionPhase.STARTING and staying and all_ready:
        step.put_revision(service, change(revision, phase=RevisionPhase.PROVING))


def checked(step: Step, event: ReplicaChecked) -> None:
    """One that does not answer several times in a row gets no more requests, and is ended."""
    found = find_replica(step.state, event.attempt, event.token)
    if found is None or found[2].phase is not ReplicaPhase.READY:
        return
    service, revision, replica = found
    unanswered = replica.unanswered + 1 if event.reason else 0
    step.put_replica(service.name, revision.number, change(replica, unanswered=unanswered), replica.attempt)
    if unanswered >= step.settings.unanswered_checks:
        times = f"{unanswered} checks in a row"
        give_up(step, service.name, revision.number, replica, f"it did not answer {times}: {event.reason}")


def give_up(step: Step, service: str, number: int, replica: Replica, reason: str) -> None:
    """End a process that hangs; another starts when it has ended: until then the name is taken."""
    settings = step.settings
    stable = replica.phase is ReplicaPhase.READY and step.time - replica.since >= settings.stable_seconds
    hung = change(
        replica,
        phase=ReplicaPhase.HUNG,
        since=step.time,
        due=step.time + settings.kill_seconds,
        failures=0 if stable else replica.failures,
        reason=reason,
    )
    step.put_replica(service, number, hung, replica.attempt)
    step.emit(StopProcess(replica.attempt, reason))


def ended(step: Step, event: ProcessEnded) -> None:
    """Forgotten when it was to end, otherwise replaced."""
    if (found := find_replica(step.state, event.attempt, event.token)) is None:
        return
    service, revision, replica = found
    if _is_over(revision, replica):
        step.put_replica(service.name, revision.number, None, replica.attempt)
        continue_draining(step, service.name, revision.number)
    elif replica.phase is not ReplicaPhase.BACKOFF:
        reason = replica.reason if replica.phase is ReplicaPhase.HUNG else event.reason
        _replace(step, service.name, revision, replica, reason)


def due(step: Step, service: str, number: int, replica: Replica) -> None:
    """A backoff is over, a start has taken too long, one too many may end, or one does not end."""
    match replica.phase:
        case ReplicaPhase.BACKOFF:
            launch(step, service, number, replica)
        case ReplicaPhase.LEAVING:
            stop(step, service, number, replica, replica.reason)
        case ReplicaPhase.HUNG:
            again = change(replica, due=step.time + step.settings.kill_seconds)
            step.put_replica(service, number, again, replica.attempt)
            step.emit(KillProcess(replica.attempt, replica.token, replica.reason))
        case _:
            limit = step.settings.replica_start_seconds
            give_up(step, service, number, replica, f"it was not ready within {limit:g} s")


def stop(step: Step, service: str, number: int, replica: Replica, reason: str) -> None:
    """It finishes what it has; one that does not run is forgotten."""
    if replica.phase is ReplicaPhase.BACKOFF:
        step.put_replica(service, number, None, replica.attempt)
        return
    stopping = change(replica, phase=ReplicaPhase.STOPPING, since=step.time, due=None)
    step.put_replica(service, number, stopping, replica.attempt)
    step.emit(StopProcess(replica.attempt, reason))


def let_go(step: Step, service: str, number: int, replica: Replica, reason: str) -> None:
    """It ends, without a request lost."""
    if replica.phase is not ReplicaPhase.READY:
        stop(step, service, number, replica, reason)
        return
    # Out of the gateway's endpoints first: by the time it is stopped no request is sent to it.
    leaving = change(
        replica, phase=ReplicaPhase.LEAVING, due=step.time + step.settings.drain_seconds, reason=reason
    )
    step.put_replica(service, number, leaving, replica.attempt)


def adopt(step: Step, service: str, number: int, replica: Replica, *, alive: bool) -> None:
    """A new control plane found it, or did not."""
    settings = step.settings
    soonest = {
        # What it reported meanwhile may be lost: it gets a moment, then another start.
        ReplicaPhase.STARTING: settings.adoption_seconds,
        ReplicaPhase.HUNG: settings.kill_seconds,
        ReplicaPhase.LEAVING: settings.drain_seconds,
        ReplicaPhase.BACKOFF: settings.backoff(replica.failures),
    }
    if not alive and replica.phase is not ReplicaPhase.BACKOFF:
        _adopt_missing(step, service, number, replica)
    elif replica.phase is ReplicaPhase.STOPPING:
        step.emit(StopProcess(replica.attempt, "it is not needed any more"))
    elif replica.phase in soonest:
        soon = change(replica, due=step.time + soonest[replica.phase])
        step.put_replica(service, number, soon, replica.attempt)


def _adopt_missing(step: Step, service: str, number: int, replica: Replica) -> None:
    if _is_over(step.expect(service, number), replica):
        step.put_replica(service, number, None, replica.attempt)
        continue_draining(step, service, number)
        return
    lost = change(replica, restarts=replica.restarts + 1, reason="it ended while no control plane ran")
    launch(step, service, number, lost)


def _is_over(revision: Revision, replica: Replica) -> bool:
    return replica.phase in ENDING or revision.phase in (RevisionPhase.DRAINING, RevisionPhase.FAILED)


def _replace(step: Step, service: str, revision: Revision, replica: Replica, reason: str) -> None:
    settings = step.settings
    was_ready = replica.phase is ReplicaPhase.READY
    stable = was_ready and step.time - replica.since >= settings.stable_seconds
    failures = 1 if stable else replica.failures + 1
    # One that was ready has a port, also when it hung since.
    failed_starts = replica.failed_starts + 1 if replica.port is None else 0
    failed = change(
        replica,
        failures=failures,
        failed_starts=failed_starts,
        restarts=replica.restarts + 1,
        reason=reason,
    )
    needed = replica.member in revision.parts
    if needed and revision.phase in COMING and not was_ready and failures >= settings.hopeless_failures:
        step.put_replica(service, revision.number, None, replica.attempt)
        what = part_name(replica.member)
        fail(step, service, revision.number, f"{what} can not be started: {reason}")
        return
    wait = settings.backoff(failures)
    if wait == 0:
        launch(step, service, revision.number, failed)
        return
    waiting = change(
        failed,
        phase=ReplicaPhase.BACKOFF,
        since=step.time,
        due=step.time + wait,
        port=None,
        pid=None,
        unanswered=0,
    )
    step.put_replica(service, revision.number, waiting, replica.attempt)
