"""The state of a service in a word and a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.serve.lifecycle.state import (
    PUBLIC,
    GatewayPhase,
    Replica,
    ReplicaPhase,
    Revision,
    RevisionPhase,
    ServeState,
    Service,
    Settings,
    part_name,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """``state``: starting · ready · idle · degraded · failed · stopped; ``reason`` when it is not ready."""

    state: str
    revision: int
    reason: str = ""


def summarize(state: ServeState, service: Service, settings: Settings) -> Summary:
    current, coming = service.current, service.coming
    if service.deleting:
        return Summary("stopped", service.last_revision, "it was deleted and finishes its last requests")
    if current is not None:
        return _summarize_public(state, service, current, settings)
    if coming is not None:
        return Summary("starting", coming.number, waiting(coming))
    if service.failed is not None:
        return Summary("failed", service.failed.number, service.failed.reason)
    held = [one.number for one in service.revisions if one.phase is RevisionPhase.STANDBY]
    reason = f"revision {held[-1]} is held without requests: promote it" if held else ""
    return Summary("stopped", service.last_revision, service.reason or reason)


def _summarize_public(state: ServeState, service: Service, current: Revision, settings: Settings) -> Summary:
    """What is wrong with any revision whose answers callers get is wrong with the service."""
    found = trouble(current, settings)
    if found is not None:
        return Summary(found[0], current.number, found[1])
    for revision in service.revisions:
        is_asked = service.traffic.percent(revision.number) or any(
            rule.revision == revision.number for rule in service.traffic.headers
        )
        found = trouble(revision, settings) if is_asked and revision is not current else None
        if found is not None and found[0] != "starting":
            return Summary("degraded", current.number, f"revision {revision.number}: {found[1]}")
    if state.gateway.phase is not GatewayPhase.UP:
        why = f": {state.gateway.reason}" if state.gateway.reason else ""
        return Summary("degraded", current.number, f"the gateway is {state.gateway.phase}{why}")
    if current.phase is RevisionPhase.SWITCHING and not current.seen and len(service.releases) <= 1:
        return Summary("starting", current.number, "its processes are ready; it is asked through the gateway")
    if not any(current.wanted(part) for part in current.parts):
        return Summary("idle", current.number, service.reason or "nobody asks: a request starts a replica")
    return Summary("ready", current.number, service.reason or _under_way(service))


def trouble(revision: Revision, settings: Settings) -> tuple[str, str] | None:
    """(state, reason) when a part has not the replicas that it had or should have. One that only grows has
    no trouble."""
    for part in revision.parts:
        replicas = revision.staying(part)
        ready = sum(replica.phase is ReplicaPhase.READY for replica in replicas)
        counts = f"{part_name(part)} has {ready} of {len(replicas)} replicas ready"
        if ready == len(replicas):
            continue
        if all(one.phase in (ReplicaPhase.READY, ReplicaPhase.STARTING) for one in replicas):
            new = all(one.phase is ReplicaPhase.READY or not one.restarts for one in replicas)
            if new and ready:
                continue
            if new:
                return "starting", counts
        hopeless = ready == 0 and any(one.failed_starts >= settings.hopeless_failures for one in replicas)
        return "failed" if hopeless else "degraded", counts + last_reason(replicas)
    return None


def waiting(coming: Revision) -> str:
    """What a revision on its way waits for."""
    replicas = tuple(one for part in coming.parts for one in coming.staying(part))
    ready = sum(replica.phase is ReplicaPhase.READY for replica in replicas)
    return f"{ready} of {len(replicas)} processes are ready{last_reason(replicas)}"


def last_reason(replicas: tuple[Replica, ...]) -> str:
    reasons = [one.reason for one in replicas if one.phase is not ReplicaPhase.READY and one.reason]
    return f": {reasons[-1]}" if reasons else ""


def _under_way(service: Service) -> str:
    if service.pending is None:
        return ""
    coming = [one for one in service.revisions if one.number in service.pending.traffic.revisions]
    named = ", ".join(str(one.number) for one in coming if one.phase not in PUBLIC)
    return f"{service.pending.action} waits for revision {named}" if named else ""
