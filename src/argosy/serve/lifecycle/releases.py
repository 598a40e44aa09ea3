"""How requests move between revisions: deployments, promotions, rollbacks and shares."""

from __future__ import annotations

from msgspec.structs import replace as change

from argosy.errors import Conflict, NotFound
from argosy.flow.service_options import ReleaseMode
from argosy.serve.lifecycle import traffic
from argosy.serve.lifecycle.events import (
    PromoteRequested,
    RollbackRequested,
    TrafficRequested,
)
from argosy.serve.lifecycle.retiring import abandon, answer_askers, stand_by
from argosy.serve.lifecycle.state import (
    COMING,
    PUBLIC,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    Service,
)
from argosy.serve.lifecycle.step import Step
from argosy.serve.lifecycle.traffic import Move, Release, Traffic

_REST = (RevisionPhase.RETIRED, RevisionPhase.DRAINING)


def set_traffic(step: Step, event: TrafficRequested) -> None:
    """Other shares and header rules. Raises InvalidRequest, NotFound, Conflict."""
    service = living(step, event.service)
    wanted = traffic.split(event.service, event.shares, event.headers)
    shadow = service.traffic.shadow
    if shadow is not None and not wanted.percent(shadow.revision):
        wanted = change(wanted, shadow=shadow)
    _ask(step, service, wanted, "traffic", "", event.user)


def promote(step: Step, event: PromoteRequested) -> None:
    """Every request to one revision. Raises NotFound, Conflict."""
    service = living(step, event.service)
    wanted = traffic.all_to(event.revision)
    if service.traffic == wanted and service.pending is None:
        raise Conflict(
            f"revision {event.revision} of service {event.service!r} gets every request already",
            hint=f"`argosy service {event.service}` shows its revisions",
        )
    _ask(step, service, wanted, "promote", event.reason, event.user)


def rollback(step: Step, event: RollbackRequested) -> None:
    """Back to the traffic before the last change; a change under way is called off. Raises Conflict."""
    service = living(step, event.service)
    if service.traffic.shares and (service.coming is not None or service.pending is not None):
        what = service.pending.action if service.pending else "deploy"
        _call_off(step, service, frozenset(), "it was rolled back")
        move = Move(service.traffic, "rollback", step.time, f"{what} was called off", event.user)
        _record(step, event.service, move)
        return
    wanted = traffic.before_last_change(service.traffic, service.releases)
    if wanted is None:
        raise Conflict(
            f"service {event.service!r} has nothing to roll back to: its traffic was never another",
            hint=f"`argosy service {event.service}` shows its releases",
        )
    _ask(step, service, wanted, "rollback", "", event.user)


def proved(step: Step, name: str, number: int) -> None:
    """A revision has answered through the gateway's internal side: what was meant for it can be done."""
    revision = step.expect(name, number)
    fresh = not revision.proved
    step.put_revision(name, change(revision, phase=RevisionPhase.STANDBY, proved=True, due=None))
    service = step.state.services[name]
    if fresh and (service.pending is None or number not in service.pending.traffic.revisions):
        _release(step, service, revision)
    advance(step, name)


def advance(step: Step, name: str) -> None:
    """Carry out the move that waits if every revision it names can answer; what nothing needs stands by."""
    service = step.state.services.get(name)
    if service is None:
        return
    move = service.pending
    if move is not None and all(_can_answer(service, number) for number in move.traffic.revisions):
        apply(step, name, move)
        return
    needed = (move.traffic.revisions if move else frozenset()) | service.traffic.revisions
    for revision in service.revisions:
        if revision.phase is RevisionPhase.STANDBY and revision.due is None and revision.number not in needed:
            stand_by(step, name, revision)


def apply(step: Step, name: str, move: Move) -> None:
    """Move the pointer; who lost all its requests stands by."""
    _record(step, name, move)
    service = step.state.services[name]
    step.put(change(service, traffic=move.traffic, pending=None, reason=""))
    for revision in service.revisions:
        gets_requests = revision.number in move.traffic.revisions
        if gets_requests and (revision.phase is RevisionPhase.STANDBY or revision.askers):
            _open(step, name, revision, move)
        elif not gets_requests and revision.phase in PUBLIC:
            stand_by(step, name, revision)


def due(step: Step, name: str) -> None:
    """A move may have waited too long for its revisions."""
    service = step.state.services.get(name)
    move = service.pending if service else None
    if service is None or move is None or move.due > step.time:
        return
    missing = sorted(one for one in move.traffic.revisions if not _can_answer(service, one))
    reason = f"{move.action} was given up: revision {missing[0]} was not ready in time" if missing else ""
    step.put(change(service, pending=None, reason=reason))


def adopt(step: Step, name: str) -> None:
    """A new control plane: the time without one does not count against a move under way."""
    service = step.state.services[name]
    if service.pending is not None:
        later = step.time + step.settings.deployment_seconds
        step.put(change(service, pending=change(service.pending, due=later)))


def living(step: Step, name: str) -> Service:
    """Raises NotFound, Conflict."""
    service = step.state.services.get(name)
    if service is None:
        known = ", ".join(sorted(step.state.services)) or "none"
        raise NotFound(f"service {name!r} does not exist", hint=f"services here: {known}")
    if service.deleting:
        raise Conflict(
            f"service {name!r} is being deleted",
            hint="deploy it again when `argosy services` does not show it any more",
        )
    return service


def _ask(step: Step, service: Service, wanted: Traffic, action: str, reason: str, user: str) -> None:
    for number in sorted(wanted.revisions):
        _check(service, number)
    _call_off(step, service, wanted.revisions, f"{action} came after it")
    due = step.time + step.settings.deployment_seconds
    now = step.state.services[service.name]
    step.put(change(now, pending=Move(wanted, action, due, reason, user)))
    for number in sorted(wanted.revisions):
        _bring_up(step, service.name, number)
    advance(step, service.name)


def _check(service: Service, number: int) -> None:
    """Raises NotFound, Conflict."""
    revision = service.revision(number)
    if revision is None or revision.forget:
        known = ", ".join(str(one.number) for one in service.revisions if not one.forget) or "none"
        was = "is kept no longer" if 0 < number <= service.last_revision else "does not exist"
        raise NotFound(
            f"revision {number} of service {service.name!r} {was}", hint=f"its revisions are {known}"
        )
    if revision.phase is RevisionPhase.FAILED:
        raise Conflict(
            f"revision {number} of service {service.name!r} failed: {revision.reason}",
            hint="deploy it again when the cause is mended",
        )


def _call_off(step: Step, service: Service, kept: frozenset[int], why: str) -> None:
    """What was asked for before and has not happened yet gives way."""
    coming = service.coming
    step.put(change(service, pending=None))
    if coming is not None and coming.number not in kept:
        abandon(step, service.name, coming, "superseded", why)


def _bring_up(step: Step, name: str, number: int) -> None:
    """As many replicas as the revision has that serves now: it is to take over from it."""
    service = step.state.services[name]
    revision = step.expect(name, number)
    if revision.phase not in _REST:
        if revision.phase is RevisionPhase.STANDBY:
            step.put_revision(name, change(revision, due=None))
        return
    main = service.current
    size = max((main.wanted(member) for member in main.members), default=1) if main else 1
    size = min(revision.most, max(1, revision.least, size))
    woken = change(
        revision,
        phase=RevisionPhase.STARTING,
        due=step.time + step.settings.deployment_seconds,
        desired=dict.fromkeys(revision.members, size),
        reason="",
    )
    step.put_revision(name, woken)


def _release(step: Step, service: Service, revision: Revision) -> None:
    """What the deployment asked to become of it once it is ready."""
    options = revision.deployment.options.release
    before, number = service.traffic, revision.number
    first = not before.shares
    match options.mode:
        case ReleaseMode.CANARY if not first:
            wanted = traffic.with_canary(before, number, options.percent)
        case ReleaseMode.SHADOW if not first:
            wanted = traffic.with_shadow(before, number, options.percent)
        case ReleaseMode.HOLD:
            wanted = before
        case _:
            wanted = traffic.all_to(number)
    due = step.time + step.settings.deployment_seconds
    how = "" if options.mode is ReleaseMode.REPLACE else f"{options.mode} {options.percent} %"
    how = "held without requests" if options.mode is ReleaseMode.HOLD else how
    user = revision.deployment.user
    apply(step, service.name, Move(wanted, "deploy", due, f"revision {number} {how}".rstrip(), user))
    held = step.expect(service.name, number)
    if number not in wanted.revisions:
        stand_by(step, service.name, held)


def _open(step: Step, name: str, revision: Revision, move: Move) -> None:
    """It gets requests. Who deployed it is told when the public side was seen to lead to it alone, or at
    once when it gets only some of them."""
    if revision.askers and move.traffic.percent(revision.number) == 100:
        due = step.time + step.settings.deployment_seconds
        step.put_revision(name, change(revision, phase=RevisionPhase.SWITCHING, due=due))
        return
    answer_askers(step, name, revision, "ready")
    step.put_revision(name, change(revision, phase=RevisionPhase.SERVING, due=None, askers=()))


def _can_answer(service: Service, number: int) -> bool:
    """Each part has a ready replica, or may have none because the activator holds its requests."""
    revision = service.revision(number)
    if revision is None or not revision.proved or revision.phase in (*COMING, *_REST):
        return False
    if revision.phase is RevisionPhase.FAILED:
        return False
    idle = revision.least == 0 and not any(
        replica.phase in (ReplicaPhase.BACKOFF, ReplicaPhase.HUNG) for replica in revision.replicas
    )
    return idle or all(revision.is_ready(part) for part in revision.parts)


def _record(step: Step, name: str, move: Move) -> None:
    service = step.state.services[name]
    release = Release(step.time, move.action, move.traffic, move.reason, move.user)
    kept = (*service.releases, release)[-step.settings.kept_releases :]
    step.put(change(service, releases=kept))
    _forget_oldest(step, name)


def _forget_oldest(step: Step, name: str) -> None:
    """Of revisions without processes the newest are kept."""
    service = step.state.services[name]
    resting = [
        one
        for one in service.revisions
        if one.phase in (RevisionPhase.RETIRED, RevisionPhase.FAILED) and not one.replicas
    ]
    resting = [one for one in resting if one.number not in service.traffic.revisions]
    for revision in resting[: max(0, len(resting) - step.settings.kept_revisions)]:
        step.put_revision(name, change(revision, forget=True))
