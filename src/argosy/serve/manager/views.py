"""Services as people see them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from argosy.api.views import (
    ComparisonView,
    MemberView,
    ReleaseView,
    ReplicaView,
    RevisionView,
    ServiceView,
)
from argosy.serve.lifecycle.state import (
    PUBLIC,
    ROUTER,
    Replica,
    Revision,
    RevisionPhase,
    ServeState,
    Service,
    Settings,
)
from argosy.serve.lifecycle.topology import member_model
from argosy.serve.lifecycle.traffic import Release
from argosy.serve.manager.summary import summarize, trouble, waiting

# (service, revision, member) -> why it has as many replicas as it has.
ScalingReason = Callable[[str, int, str], str]

_STATES = {
    RevisionPhase.STARTING: "starting",
    RevisionPhase.PROVING: "starting",
    RevisionPhase.SWITCHING: "serving",
    RevisionPhase.RETIRED: "standby",
}


def service_view(
    state: ServeState,
    service: Service,
    settings: Settings,
    address: str,
    scaling_reason: ScalingReason = lambda service, revision, member: "",
) -> ServiceView:
    """The service; its members are those of the revision with the most requests, or else of the newest."""
    summary = summarize(state, service, settings)
    revision = service.current or service.coming or service.failed or service.revisions[-1]
    deployment = revision.deployment
    return ServiceView(
        name=service.name,
        state=summary.state,
        revision=summary.revision,
        url=predict_url(address, service.name),
        aggregate=deployment.aggregate if len(deployment.models) > 1 else "",
        created_at=service.created_at,
        reason=summary.reason,
        run=deployment.run,
        members=_members(service, revision, address),
        strategy=deployment.options.strategy.value,
        replicas=(revision.least, revision.most),
        scaling=_scaling(service, revision, scaling_reason),
        revisions=[_revision(service, one, settings, address) for one in service.revisions],
        releases=[_release(release) for release in service.releases],
        options=msgspec.to_builtins(deployment.options),
    )


def predict_url(address: str, model: str) -> str:
    return f"{address}/v1/models/{model}:predict" if address else ""


def _members(service: Service, revision: Revision, address: str) -> list[MemberView]:
    return [
        MemberView(
            name=member_model(service.name, model.name),
            model=model.name,
            digest=model.reference.digest,
            url=predict_url(address, member_model(service.name, model.name)),
            replicas=[_replica(replica) for replica in revision.of(model.name)],
        )
        for model in revision.deployment.models
    ]


def _revision(service: Service, revision: Revision, settings: Settings, address: str) -> RevisionView:
    traffic, shadow = service.traffic, service.traffic.shadow
    copied = shadow.percent if shadow is not None and shadow.revision == revision.number else 0
    rules = (rule for rule in traffic.headers if rule.revision == revision.number)
    return RevisionView(
        revision=revision.number,
        state=_STATES.get(revision.phase, revision.phase.value),
        version=revision.deployment.version or revision.number,
        percent=traffic.percent(revision.number),
        created_at=revision.created_at,
        reason=_reason(revision, settings),
        run=revision.deployment.run,
        user=revision.deployment.user,
        shadow_percent=copied,
        headers=[f"{rule.header}: {rule.value}" for rule in rules],
        comparison=_comparison(revision) if copied or revision.comparer_token else None,
        members=_members(service, revision, address),
        routers=[_replica(replica) for replica in revision.of(ROUTER)],
    )


def _reason(revision: Revision, settings: Settings) -> str:
    if revision.phase in PUBLIC:
        found = trouble(revision, settings)
        return found[1] if found else revision.reason
    match revision.phase:
        case RevisionPhase.STARTING:
            return waiting(revision)
        case RevisionPhase.PROVING:
            return "its processes are ready; it is asked through the gateway"
        case RevisionPhase.STANDBY:
            return revision.reason or "ready, without requests"
        case RevisionPhase.RETIRED:
            return revision.reason or "its processes have ended; they start again when it is given requests"
        case _:
            return revision.reason


def _comparison(revision: Revision) -> ComparisonView:
    return ComparisonView(**msgspec.structs.asdict(revision.comparison))


def _release(release: Release) -> ReleaseView:
    shares = {str(number): percent for number, percent in release.traffic.shares}
    return ReleaseView(release.time, release.action, shares, release.reason, release.user)


def _scaling(service: Service, revision: Revision, reason_of: ScalingReason) -> str:
    lines = []
    for member in revision.members:
        there, wanted = len(revision.staying(member)), revision.wanted(member)
        reason = reason_of(service.name, revision.number, member)
        if not reason:
            fixed = revision.least == revision.most
            reason = "as many as were asked for" if fixed else f"{revision.least} to {revision.most} allowed"
        count = str(wanted) if there == wanted else f"{there} of {wanted}"
        lines.append(f"{member}: {count} ({reason})")
    return "; ".join(lines)


def _replica(replica: Replica) -> ReplicaView:
    return ReplicaView(
        replica=replica.attempt,
        state=replica.phase.value,
        port=replica.port,
        pid=replica.pid,
        restarts=replica.restarts,
        grpc_port=replica.grpc_port or None,
        reason=replica.reason,
    )
