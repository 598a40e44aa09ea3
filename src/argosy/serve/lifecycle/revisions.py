"""How a deployment becomes the revision that serves."""

from __future__ import annotations

from msgspec.structs import replace as change

from argosy.flow.service_options import ReleaseMode
from argosy.serve.deployment import Asker, Deployment
from argosy.serve.lifecycle import releases
from argosy.serve.lifecycle.events import RevisionAnswered
from argosy.serve.lifecycle.retiring import abandon, answer_askers, continue_draining, drain, fail
from argosy.serve.lifecycle.state import (
    PUBLIC,
    Gateway,
    GatewayPhase,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    Service,
    part_name,
)
from argosy.serve.lifecycle.step import Step
from argosy.serve.lifecycle.traffic import Move, Traffic, all_to


def deploy(step: Step, deployment: Deployment) -> None:
    """A new revision, unless what serves or comes is the same already."""
    service = step.state.services.get(deployment.service)
    if service is None or service.deleting:
        service = _reborn(step, deployment.service, service)
    asker = deployment.asker()
    coming = service.coming
    if coming is not None and coming.deployment.settings() == deployment.settings():
        asked = change(coming, askers=_with(coming.askers, asker))
        step.put(change(service, pending=None))
        step.put_revision(service.name, _as_deployed(asked, deployment))
        return
    if coming is not None:
        abandon(step, service.name, coming, "superseded", "another deployment of the service came after it")
    same = _serving(step.state.services[service.name], deployment)
    if same is None:
        _begin(step, service.name, deployment, asker)
    else:
        _ask_again(step, service.name, _as_deployed(same, deployment), deployment)


def delete(step: Step, name: str) -> None:
    """Every revision ends; the service is forgotten with its last process."""
    service = step.state.services.get(name)
    if service is None or service.deleting:
        return
    step.put(change(service, deleting=True, pending=None, traffic=Traffic()))
    for revision in service.revisions:
        if revision.phase is RevisionPhase.DRAINING:
            step.put_revision(name, change(revision, forget=True))
        else:
            abandon(step, name, revision, "failed", "the service was deleted")


def answered(step: Step, event: RevisionAnswered) -> None:
    """Internally: it may get requests. Publicly: whoever deployed it may be told."""
    revision = step.revision(event.service, event.revision)
    if revision is None:
        return
    if revision.phase is RevisionPhase.PROVING and not event.public:
        releases.proved(step, event.service, event.revision)
    elif revision.phase is RevisionPhase.SWITCHING and event.public:
        serving = change(revision, phase=RevisionPhase.SERVING, due=None, askers=(), seen=True)
        step.put_revision(event.service, serving)
        answer_askers(step, event.service, revision, "ready")


def due(step: Step, service: str, number: int, gateway: Gateway) -> None:
    """A revision has rested or drained long enough, or has taken too long to answer."""
    revision = step.revision(service, number)
    if revision is None:
        return
    limit = step.settings.deployment_seconds
    if revision.phase is RevisionPhase.DRAINING:
        continue_draining(step, service, number)
    elif revision.phase is RevisionPhase.STANDBY:
        drain(step, service, revision)
    elif revision.phase is RevisionPhase.SWITCHING:
        # It is public already, and nothing else is left to serve.
        reason = f"not answering through the gateway within {limit:g} s: {_missing(revision, gateway)}"
        answer_askers(step, service, revision, "failed", reason)
        step.put_revision(service, change(revision, phase=RevisionPhase.SERVING, due=None, askers=()))
    else:
        fail(step, service, number, f"not ready within {limit:g} s: {_missing(revision, gateway)}")


def adopt(step: Step, service: str, revision: Revision) -> None:
    """A new control plane: the time without one does not count against a revision on its way, and whatever
    the clock did meanwhile, no wait is longer than it was meant to be."""
    if revision.due is None or revision.phase is RevisionPhase.DRAINING:
        return
    settings = step.settings
    if revision.phase is RevisionPhase.STANDBY:
        later = min(revision.due, step.time + settings.standby_seconds)
    else:
        later = step.time + settings.deployment_seconds
    step.put_revision(service, change(revision, due=later))


def _serving(service: Service, deployment: Deployment) -> Revision | None:
    """The revision that is the same and need not be made again: it is only held, or gets requests."""
    held = deployment.options.release.mode is ReleaseMode.HOLD
    phases = (*PUBLIC, RevisionPhase.STANDBY, RevisionPhase.RETIRED) if held else PUBLIC
    made = [one for one in service.revisions if one.phase in phases and not one.forget]
    same = [one for one in made if one.deployment.settings() == deployment.settings()]
    return max(same, key=lambda one: service.traffic.percent(one.number), default=None)


def _as_deployed(revision: Revision, deployment: Deployment) -> Revision:
    """The numbers of replicas of the newest deployment hold, and what it wants of its release."""
    options = change(revision.deployment.options, release=deployment.options.release)
    newest = change(revision.deployment, replicas=deployment.replicas, options=options)
    return change(revision, deployment=newest, bounds=None)


def _reborn(step: Step, name: str, dying: Service | None) -> Service:
    """A new service; the revisions of one that is being deleted drain on under it."""
    revisions = dying.revisions if dying else ()
    last = dying.last_revision if dying else 0
    service = Service(name, step.time, revisions=revisions, last_revision=last)
    step.put(service)
    return service


def _ask_again(step: Step, name: str, same: Revision, deployment: Deployment) -> None:
    """It gets requests already. Where it is to get all of them it is asked once more through the gateway,
    and answers in its own words."""
    asked = change(same, askers=_with(same.askers, deployment.asker()))
    service = step.state.services[name]
    due = step.time + step.settings.deployment_seconds
    if service.traffic.percent(same.number) == 100:
        step.put(change(service, pending=None))
        step.put_revision(name, change(asked, phase=RevisionPhase.SWITCHING, due=due))
    elif deployment.options.release.mode is ReleaseMode.REPLACE:
        move = Move(all_to(same.number), "deploy", due, f"revision {same.number}", deployment.user)
        step.put(change(service, pending=move))
        step.put_revision(name, asked)
    else:
        answer_askers(step, name, asked, "ready")
        step.put_revision(name, change(asked, askers=()))


def _begin(step: Step, name: str, deployment: Deployment, asker: Asker) -> None:
    service = step.state.services[name]
    number = service.last_revision + 1
    due = step.time + step.settings.deployment_seconds
    revision = Revision(number, deployment, RevisionPhase.STARTING, step.time, (), due=due, askers=(asker,))
    revisions = (*service.revisions, revision)
    step.put(change(service, revisions=revisions, last_revision=number, reason=""))


def _with(askers: tuple[Asker, ...], asker: Asker) -> tuple[Asker, ...]:
    return askers if asker in askers else (*askers, asker)


def _missing(revision: Revision, gateway: Gateway) -> str:
    for replica in revision.replicas:
        if replica.phase is not ReplicaPhase.READY:
            what = f"{part_name(replica.member)} is {replica.phase}"
            return what + (f" ({replica.reason})" if replica.reason else "")
    if gateway.phase is not GatewayPhase.UP:
        return f"the gateway is {gateway.phase}" + (f" ({gateway.reason})" if gateway.reason else "")
    return "every replica is ready, and requests still do not reach them"
