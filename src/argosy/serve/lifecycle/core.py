"""What keeps services alive, as a pure step: (state, event) -> (state, commands).

    deploy    a revision's replicas start beside what serves now; when all are ready it is PROVING (asked
              through the gateway's internal side). Then its release says what it gets: everything, a share,
              copies, or nothing yet. Whoever deployed it is answered when that is so.
    traffic   a service holds a pointer at revisions. It moves when every revision it names can answer; one
              that lost its requests stands by with its processes, and later rests without them.
    failure   an ended replica is launched again, later and later while it keeps failing; one that does not
              answer is ended first. A revision that does not come up is FAILED; what served before goes on.
    scale     each member has a desired number of replicas, and none while nobody asks if that is allowed.
    delete    every revision drains; the record goes with the last process.

The gateway's files, the stored records, the probes and the next timer are functions of the state: the shell
makes them so after every step, and carries out the commands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from argosy.serve.deployment import Deployment as Deployment
from argosy.serve.deployment import ModelReference as ModelReference
from argosy.serve.deployment import ServiceChange as ServiceChange
from argosy.serve.lifecycle import comparing, counts, releases, replicas, revisions
from argosy.serve.lifecycle.events import (
    Acknowledge,
    Adopted,
    Compared,
    DeleteRequested,
    DeployRequested,
    GatewayAnswered,
    Happening,
    ProcessEnded,
    ProcessStarted,
    PromoteRequested,
    ReplicaChecked,
    ReplicaListening,
    ReplicasDemanded,
    ReplicasDesired,
    Request,
    RevisionAnswered,
    RollbackRequested,
    ScaleRequested,
    ServeCommand,
    ServeEvent,
    StartGateway,
    StopProcess,
    Ticked,
    TrafficRequested,
)
from argosy.serve.lifecycle.state import (
    GATEWAY_ATTEMPT,
    Gateway,
    GatewayPhase,
    ServeState,
    Settings,
    all_replicas,
    find_replica,
)
from argosy.serve.lifecycle.step import Step


def decide(
    state: ServeState, event: ServeEvent, settings: Settings
) -> tuple[ServeState, tuple[ServeCommand, ...]]:
    """The next state and what to do. Equal arguments give equal results.

    Raises InvalidRequest, NotFound or Conflict for a request that can not be.
    """
    step = Step(state, event.time, settings)
    if isinstance(event, Request):
        _request(step, event)
    else:
        _happened(step, event)
    _settle(step)
    return step.state, tuple(step.commands)


def _request(step: Step, event: Request) -> None:
    match event:
        case DeployRequested(deployment=deployment):
            revisions.deploy(step, deployment)
            _need_gateway(step)
        case DeleteRequested(service=service):
            revisions.delete(step, service)
        case TrafficRequested():
            releases.set_traffic(step, event)
        case PromoteRequested():
            releases.promote(step, event)
        case RollbackRequested():
            releases.rollback(step, event)
        case ScaleRequested(service=service):
            releases.living(step, service)
            counts.scale(step, event)
        case _:
            assert_never(event)


def _happened(step: Step, event: Happening) -> None:
    match event:
        case Adopted():
            _adopt(step, event)
        case ProcessStarted():
            replicas.started(step, event)
        case ReplicaListening():
            replicas.listening(step, event)
        case ReplicaChecked():
            replicas.checked(step, event)
        case ReplicasDesired():
            counts.desired(step, event)
        case ReplicasDemanded():
            counts.demanded(step, event)
        case Compared():
            comparing.compared(step, event)
        case ProcessEnded():
            _ended(step, event)
        case GatewayAnswered(token=token):
            _gateway_answered(step, token)
        case RevisionAnswered():
            _gateway_answered(step, step.state.gateway.token)
            revisions.answered(step, event)
        case Ticked():
            _tick(step)
        case _:
            assert_never(event)


def _settle(step: Step) -> None:
    """What follows from the state as it is now, whatever led to it."""
    for name in tuple(step.state.services):
        releases.advance(step, name)
        for revision in step.state.services[name].revisions:
            counts.adjust(step, name, revision.number)
            replicas.prove_if_ready(step, name, revision.number)
        comparing.compare(step, name)


def _ended(step: Step, event: ProcessEnded) -> None:
    # The shell stores the state before it carries out commands, so this is acknowledged once it is safe.
    step.emit(Acknowledge(event.attempt, event.token))
    if event.attempt != GATEWAY_ATTEMPT:
        replicas.ended(step, event)
    elif event.token == step.state.gateway.token and step.state.gateway.phase is not GatewayPhase.DOWN:
        _gateway_ended(step, event.reason)


def _gateway_answered(step: Step, token: int) -> None:
    gateway = step.state.gateway
    if token == gateway.token and gateway.phase is GatewayPhase.STARTING:
        up = replace(gateway, phase=GatewayPhase.UP, since=step.time, due=None, reason="")
        step.state = replace(step.state, gateway=up)


def _gateway_ended(step: Step, reason: str) -> None:
    gateway = step.state.gateway
    stable = gateway.phase is GatewayPhase.UP and step.time - gateway.since >= step.settings.stable_seconds
    failures = 1 if stable else gateway.failures + 1
    wait = step.settings.backoff(failures)
    down = Gateway(gateway.token, GatewayPhase.DOWN, step.time, step.time + wait, failures, reason)
    step.state = replace(step.state, gateway=down)
    if wait == 0:
        _start_gateway(step)


def _start_gateway(step: Step) -> None:
    token = step.token(step.state.gateway.token)
    due = step.time + step.settings.gateway_start_seconds
    starting = replace(step.state.gateway, token=token, phase=GatewayPhase.STARTING, since=step.time, due=due)
    step.state = replace(step.state, gateway=starting)
    step.emit(StartGateway(token))


def _need_gateway(step: Step) -> None:
    """It starts with the first service, not with the control plane."""
    gateway = step.state.gateway
    if step.state.services and gateway.phase is GatewayPhase.DOWN and gateway.due is None:
        _start_gateway(step)


def _tick(step: Step) -> None:
    gateway = step.state.gateway
    if gateway.due is not None and gateway.due <= step.time:
        _gateway_due(step)
    for _, _, late in tuple(all_replicas(step.state)):
        found = find_replica(step.state, late.attempt, late.token)
        if found is not None and found[2].due is not None and found[2].due <= step.time:
            replicas.due(step, found[0].name, found[1].number, found[2])
    for service in tuple(step.state.services.values()):
        for revision in service.revisions:
            if revision.due is not None and revision.due <= step.time:
                revisions.due(step, service.name, revision.number, step.state.gateway)
        releases.due(step, service.name)


def _gateway_due(step: Step) -> None:
    """A backoff is over, or it does not answer: then it is stopped, and starts again once it has ended."""
    gateway = step.state.gateway
    if gateway.phase is GatewayPhase.DOWN:
        _start_gateway(step)
        return
    limit = step.settings.gateway_start_seconds
    reason = f"the gateway did not answer within {limit:g} s"
    step.state = replace(step.state, gateway=replace(gateway, due=step.time + limit, reason=reason))
    step.emit(StopProcess(GATEWAY_ATTEMPT, reason))


def _adopt(step: Step, event: Adopted) -> None:
    """What lives and is known goes on untouched; what is gone starts again; what nobody knows ends."""
    known = {(replica.attempt, replica.token) for _, _, replica in all_replicas(step.state)}
    known.add((GATEWAY_ATTEMPT, step.state.gateway.token))
    for attempt, _ in sorted(event.alive - known):
        step.emit(StopProcess(attempt, "no service needs it"))
    if (GATEWAY_ATTEMPT, step.state.gateway.token) in event.alive:
        due = step.time + step.settings.gateway_start_seconds
        adopted = replace(step.state.gateway, phase=GatewayPhase.STARTING, since=step.time, due=due)
        step.state = replace(step.state, gateway=adopted)
    _need_gateway(step)
    for service in tuple(step.state.services.values()):
        releases.adopt(step, service.name)
        for revision in service.revisions:
            revisions.adopt(step, service.name, revision)
    for service, revision, replica in tuple(all_replicas(step.state)):
        alive = (replica.attempt, replica.token) in event.alive
        replicas.adopt(step, service.name, revision.number, replica, alive=alive)
