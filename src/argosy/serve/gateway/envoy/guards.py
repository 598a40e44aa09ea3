"""Who may ask, and how much, as routes: the first whose tier and limits fit takes the request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from argosy.flow.service_options import ANONYMOUS, SIGNED_IN, Access, TierLimit
from argosy.serve.gateway.envoy.actions import framed, lead_route, times
from argosy.serve.gateway.envoy.json_types import (
    Json,
    config,
    direct_text,
    header,
    header_is,
    header_present,
)
from argosy.serve.gateway.envoy.leads import INFER, READY, Lead
from argosy.serve.gateway.envoy.names import (
    LIMITS_FILTER,
    QUEUE_HEADER,
    TIER_HEADER,
    USER_HEADER,
    admission_cluster,
    queue_cluster,
)

LIMITS_SCRIPT = "limits"

_POST = header_is(":method", "POST")


@dataclass(frozen=True, slots=True)
class _Guard:
    """The requests of one tier: ``headers`` tell them apart once those of the guards before are taken."""

    tier: str
    limit: TierLimit
    headers: tuple[Json, ...]


def guarded(lead: Lead, access: Access) -> Iterator[Json]:
    """The public routes of a lead. Limits are on predictions; what only reads is not counted."""
    if access.require_token:
        yield from _signed_in_only(lead)
    for match in lead.matches:
        for guard in _guards(access):
            if not lead.grpc or match["path"] == INFER:
                yield _limited(lead, _with(match, _POST, *guard.headers), guard)
        yield from plain(lead, match)


def has_admission(access: Access) -> bool:
    """Whether some of the requests come again, through the listeners behind the limits on concurrency."""
    return any(limit.concurrency is not None for limit in access.tiers.values())


def admitted(lead: Lead) -> Iterator[Json]:
    """The routes of what was let through: without limits. Nothing from outside has their header.

    They stand in one file with the routes that lead to the limits, so that both change at once.
    """
    for match in lead.matches:
        for route in plain(lead, _with(match, header_present(QUEUE_HEADER))):
            yield {**route, "request_headers_to_remove": [QUEUE_HEADER]}


def plain(lead: Lead, match: Json) -> Iterator[Json]:
    """Without limits."""
    if lead.shadow is not None and not lead.body_bytes:
        yield lead_route(lead, _with(match, _POST), mirrored=True)
    yield lead_route(lead, match)


def _guards(access: Access) -> list[_Guard]:
    tiers = access.tiers
    found = [
        _Guard(tier, limit, (header_is(TIER_HEADER, tier),))
        for tier, limit in sorted(tiers.items())
        if tier not in (ANONYMOUS, SIGNED_IN)
    ]
    if SIGNED_IN in tiers:
        found.append(_Guard(SIGNED_IN, tiers[SIGNED_IN], (header_present(USER_HEADER),)))
    if ANONYMOUS in tiers:
        found.append(_Guard(ANONYMOUS, tiers[ANONYMOUS], (header_present(USER_HEADER, present=False),)))
    return found


def _limited(lead: Lead, match: Json, guard: _Guard) -> Json:
    if guard.limit.concurrency is None:
        route = lead_route(lead, match, mirrored=not lead.body_bytes)
    else:
        route = _admission(lead, match, guard)
    if guard.limit.requests is not None:
        per_route = route.setdefault("typed_per_filter_config", {})
        per_route[LIMITS_FILTER] = _counted(lead.service, guard)
    return route


def _admission(lead: Lead, match: Json, guard: _Guard) -> Json:
    """To the cluster that refuses what is over the limit; the shares are behind it."""
    queue = queue_cluster(lead.service, guard.tier)
    facts: dict[str, Any] = {
        "service": lead.service,
        "tier": guard.tier,
        "concurrency": f"{guard.limit.concurrency} request{'' if guard.limit.concurrency == 1 else 's'}",
        "queue": guard.limit.queue,
    }
    return {
        **framed(lead, match),
        "metadata": {"filter_metadata": {"argosy": facts}},
        "request_headers_to_add": [header(QUEUE_HEADER, queue)],
        "route": {"cluster": admission_cluster(lead.service, guard.tier), **times(lead)},
    }


def _counted(service: str, guard: _Guard) -> Json:
    facts = {
        "service": service,
        "tier": guard.tier,
        "requests": guard.limit.requests,
        "period": guard.limit.period_seconds,
    }
    return config("filters.http.lua.v3.LuaPerRoute", name=LIMITS_SCRIPT, filter_context=facts)


def _signed_in_only(lead: Lead) -> Iterator[Json]:
    """Whether it is there and ready, anyone may ask: health checks and balancers have no token."""
    get = header_is(":method", "GET")
    if lead.grpc:
        named = next(iter(lead.matches))["headers"]
        yield lead_route(lead, {"path": READY, "headers": named})
    else:
        for path in (f"/v1/models/{lead.model}", f"/v2/models/{lead.model}/ready"):
            yield lead_route(lead, {"path": path, "headers": [get]})
    reason = f"service {lead.service!r} is only for callers with a token"
    for match in lead.matches:
        yield direct_text(
            _with(match, header_present(USER_HEADER, present=False)), 401, reason, name=lead.service
        )


def _with(match: Json, *headers: Json) -> Json:
    return {**match, "headers": [*match.get("headers", ()), *headers]}
