"""How a deployment becomes the revision that serves."""

from __future__ import annotations

from msgspec.structs import replace as change

from argosy.serve.deployment import Asker, Deployment
from argosy.serve.lifecycle import replicas
from argosy.serve.lifecycle.events import RevisionAnswered
from argosy.serve.lifecycle.retiring import abandon, answer_askers, continue_draining, drain, fail
from argosy.serve.lifecycle.state import (
    ROUTER,
    Gateway,
    GatewayPhase,
    Replica,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    Service,
    attempt_name,
)
from argosy.serve.lifecycle.step import Step

# Routers carry no model: a second one is there so that losing one loses no request.
MOST_ROUTERS = 2


def deploy(step: Step, deployment: Deployment) -> None:
    """A new revision, unless what serves or comes is the same already."""
    service = step.state.services.get(deployment.service)
    if service is None or service.deleting:
        service = _reborn(step, deployment.service, service)
    asker = deployment.asker()
    coming, current = service.coming, service.current
    if coming is not None and coming.deployment.settings() == deployment.settings():
        step.put_revision(service.name, change(coming, askers=_with(coming.askers, asker)))
        return
    if coming is not None:
        abandon(step, service.name, coming, "superseded", "another deployment of the service came after it")
    if current is not None and current.deployment.settings() == deployment.settings():
        _ask_again(step, service.name, current, asker)
        return
    _begin(step, service.name, deployment, asker)


def delete(step: Step, name: str) -> None:
    """Every revision ends; the service is forgotten with its last process."""
    service = step.state.services.get(name)
    if service is None or service.deleting:
        return
    step.put(change(service, deleting=True))
    for revision in service.revisions:
        if revision.phase is not RevisionPhase.DRAINING:
            abandon(step, name, revision, "failed", "the service was deleted")


def answered(step: Step, event: RevisionAnswered) -> None:
    """Internally: the public may come. Publicly: whoever deployed it may be told."""
    revision = step.revision(event.service, event.revision)
    if revision is None:
        return
    if revision.phase is RevisionPhase.PROVING and not event.public:
        before = step.state.services[event.service].current
        if before is not None:
            answer_askers(step, event.service, before, "ready")
            drain(step, event.service, change(before, askers=()))
        step.put_revision(event.service, change(revision, phase=RevisionPhase.SWITCHING))
    elif revision.phase is RevisionPhase.SWITCHING and event.public:
        step.put_revision(event.service, change(revision, phase=RevisionPhase.SERVING, due=None, askers=()))
        answer_askers(step, event.service, revision, "ready")


def due(step: Step, service: str, number: int, gateway: Gateway) -> None:
    """A revision has drained long enough, or has taken too long to answer."""
    revision = step.revision(service, number)
    if revision is None:
        return
    limit = step.settings.deployment_seconds
    if revision.phase is RevisionPhase.DRAINING:
        continue_draining(step, service, number)
    elif revision.phase is RevisionPhase.SWITCHING:
        # It is public already, and nothing else is left to serve.
        reason = f"not answering through the gateway within {limit:g} s: {_missing(revision, gateway)}"
        answer_askers(step, service, revision, "failed", reason)
        step.put_revision(service, change(revision, phase=RevisionPhase.SERVING, due=None, askers=()))
    else:
        fail(step, service, number, f"not ready within {limit:g} s: {_missing(revision, gateway)}")


def adopt(step: Step, service: str, revision: Revision) -> None:
    """A new control plane: the time without one does not count against a revision on its way."""
    if revision.due is not None and revision.phase is not RevisionPhase.DRAINING:
        later = step.time + step.settings.deployment_seconds
        step.put_revision(service, change(revision, due=later))


def _reborn(step: Step, name: str, dying: Service | None) -> Service:
    """A new service; the revisions of one that is being deleted drain on under it."""
    revisions = dying.revisions if dying else ()
    last = dying.last_revision if dying else 0
    service = Service(name, step.time, revisions=revisions, last_revision=last)
    step.put(service)
    return service


def _ask_again(step: Step, service: str, current: Revision, asker: Asker) -> None:
    """It serves already: it is asked once more through the gateway, and answers in its own words."""
    askers = _with(current.askers, asker)
    due = step.time + step.settings.deployment_seconds
    step.put_revision(service, change(current, phase=RevisionPhase.SWITCHING, due=due, askers=askers))


def _begin(step: Step, name: str, deployment: Deployment, asker: Asker) -> None:
    service = step.state.services[name]
    if service.failed is not None:
        drain(step, name, service.failed)
        service = step.state.services[name]
    number = service.last_revision + 1
    due = step.time + step.settings.deployment_seconds
    revision = Revision(number, deployment, RevisionPhase.STARTING, step.time, (), due=due, askers=(asker,))
    waiting = tuple(
        Replica(attempt_name(name, number, part, index), part, 0, ReplicaPhase.STARTING, step.time)
        for part in revision.parts
        for index in range(_count(revision, part))
    )
    revisions = (*service.revisions, change(revision, replicas=waiting))
    step.put(change(service, revisions=revisions, last_revision=number, reason=""))
    for replica in waiting:
        replicas.launch(step, name, number, replica)


def _count(revision: Revision, part: str) -> int:
    least = revision.deployment.replicas[0]
    return min(least, MOST_ROUTERS) if part == ROUTER else least


def _with(askers: tuple[Asker, ...], asker: Asker) -> tuple[Asker, ...]:
    return askers if asker in askers else (*askers, asker)


def _missing(revision: Revision, gateway: Gateway) -> str:
    for replica in revision.replicas:
        if replica.phase is not ReplicaPhase.READY:
            what = f"model {replica.member!r}" if replica.member != ROUTER else "the router"
            return f"{what} is {replica.phase}" + (f" ({replica.reason})" if replica.reason else "")
    if gateway.phase is not GatewayPhase.UP:
        return f"the gateway is {gateway.phase}" + (f" ({gateway.reason})" if gateway.reason else "")
    return "every replica is ready, and requests still do not reach them"
