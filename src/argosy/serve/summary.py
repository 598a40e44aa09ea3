"""The state of services as people see it."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.api.views import MemberView, ReplicaView, ServiceView
from argosy.serve.lifecycle.state import (
    ROUTER,
    GatewayPhase,
    Replica,
    ReplicaPhase,
    Revision,
    ServeState,
    Service,
    Settings,
)
from argosy.serve.lifecycle.topology import member_model


@dataclass(frozen=True, slots=True)
class Summary:
    """``state``: starting · ready · degraded · failed · stopped; ``reason`` when it is not ready."""

    state: str
    revision: int
    reason: str = ""


def summarize(state: ServeState, service: Service, settings: Settings) -> Summary:
    current, coming = service.current, service.coming
    if service.deleting:
        return Summary("stopped", service.last_revision, "it was deleted and finishes its last requests")
    if current is not None:
        return _summarize_current(state, service, current, settings)
    if coming is not None:
        return Summary("starting", coming.number, _waiting(coming))
    if service.failed is not None:
        return Summary("failed", service.failed.number, service.failed.reason)
    return Summary("stopped", service.last_revision, service.reason)


def _summarize_current(state: ServeState, service: Service, current: Revision, settings: Settings) -> Summary:
    for part in current.parts:
        replicas = current.of(part)
        ready = sum(replica.phase is ReplicaPhase.READY for replica in replicas)
        if ready == len(replicas):
            continue
        hopeless = ready == 0 and any(one.failures >= settings.hopeless_failures for one in replicas)
        what = f"model {part!r}" if part != ROUTER else "the router"
        reason = f"{what} has {ready} of {len(replicas)} replicas ready{_last_reason(replicas)}"
        return Summary("failed" if hopeless else "degraded", current.number, reason)
    if state.gateway.phase is not GatewayPhase.UP:
        why = f": {state.gateway.reason}" if state.gateway.reason else ""
        return Summary("degraded", current.number, f"the gateway is {state.gateway.phase}{why}")
    return Summary("ready", current.number, service.reason)


def _last_reason(replicas: tuple[Replica, ...]) -> str:
    reasons = [one.reason for one in replicas if one.phase is not ReplicaPhase.READY and one.reason]
    return f": {reasons[-1]}" if reasons else ""


def _waiting(coming: Revision) -> str:
    ready = sum(replica.phase is ReplicaPhase.READY for replica in coming.replicas)
    return f"{ready} of {len(coming.replicas)} processes are ready{_last_reason(coming.replicas)}"


def view(state: ServeState, service: Service, settings: Settings, address: str) -> ServiceView:
    """The service with every replica of the revision that serves, or else of the newest."""
    summary = summarize(state, service, settings)
    revision = service.current or service.coming or service.failed or service.revisions[-1]
    deployment = revision.deployment
    return ServiceView(
        name=service.name,
        state=summary.state,
        revision=summary.revision,
        url=predict_url(address, service.name),
        aggregate=deployment.aggregate if revision.has_router else "",
        created_at=service.created_at,
        reason=summary.reason,
        run=deployment.run,
        members=[
            MemberView(
                name=member_model(service.name, model.name),
                model=model.name,
                digest=model.reference.digest,
                url=predict_url(address, member_model(service.name, model.name)),
                replicas=[_replica_view(replica) for replica in revision.of(model.name)],
            )
            for model in deployment.models
        ],
    )


def predict_url(address: str, model: str) -> str:
    return f"{address}/v1/models/{model}:predict" if address else ""


def _replica_view(replica: Replica) -> ReplicaView:
    return ReplicaView(
        replica=replica.attempt,
        state=replica.phase.value,
        port=replica.port,
        pid=replica.pid,
        restarts=replica.restarts,
    )
