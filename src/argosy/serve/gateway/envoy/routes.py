"""Routes: which request leads to which cluster, and what is answered to what leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.serve.about import server_metadata
from argosy.serve.gateway.envoy.actions import lead_route
from argosy.serve.gateway.envoy.grpc_routes import grpc_routes
from argosy.serve.gateway.envoy.guards import admitted, guarded, has_admission
from argosy.serve.gateway.envoy.json_types import Json, direct, direct_text, discovery, header
from argosy.serve.gateway.envoy.leads import (
    Lead,
    Living,
    any_version_matches,
    internal_leads,
    living,
    plain_leads,
    version_leads,
)
from argosy.serve.gateway.envoy.names import (
    GATEWAY_HEALTH,
    INTERNAL,
    PUBLIC,
    REVISION_HEADER,
    TOKEN_HEADER,
    USER_HEADER,
)
from argosy.serve.gateway.envoy.refusals import too_large_body
from argosy.serve.gateway.topology import RevokedToken, Topology

__all__ = [
    "GATEWAY_HEALTH",
    "REVISION_HEADER",
    "internal_file",
    "public_file",
    "routing_facts",
    "stopping_file",
]

ROUTE_TYPE = "envoy.config.route.v3.RouteConfiguration"

_ROUTE = "type.googleapis.com/envoy.config.route.v3."


def routing_facts(topology: Topology) -> object:
    """All that routes are made of. Equal facts make equal routes, and most changes are only of replicas."""
    clusters = [(one.name, one.balancing, bool(one.endpoints), one.speaks_grpc) for one in topology.clusters]
    return topology.services, topology.backends, topology.revoked, clusters


def public_file(topology: Topology, body_limit: int) -> Json:
    """What callers see: every public service, its members, the list of them, errors that name the fault."""
    services = living(topology)
    routes: list[Json] = []
    for one in services:
        if _is_streaming(one):
            routes += _service_routes(one)
    routes.append(_too_large({"prefix": "/"}, body_limit))
    for one in services:
        if not _is_streaming(one):
            routes += _service_routes(one)
    routes += grpc_routes(services)
    routes += _general(services)
    host: Json = {"name": PUBLIC, "domains": ["*"], "include_request_attempt_count": True}
    host |= _unless_revoked(topology.revoked, routes)
    # A token is for the gateway: no replica needs it, and none can lose it.
    return _configuration(PUBLIC, [host], removed=("authorization",))


def stopping_file() -> Json:
    """What callers see while Argosy stops: what is under way is answered, and nothing more is begun."""
    refusal = direct(
        {"prefix": "/"},
        503,
        headers=(header("retry-after", "5"),),
        error="Argosy is being stopped",
        code="unavailable",
        hint="'argosy up' brings its services back",
    )
    return _configuration(PUBLIC, [{"name": PUBLIC, "domains": ["*"], "routes": [refusal]}])


def internal_file(topology: Topology) -> Json:
    """What routers and probes see: each revision by itself, under its own authority."""
    clusters = {cluster.name: cluster for cluster in topology.clusters}
    hosts = [
        _host(one.authority, one.authority, _unguarded(internal_leads(one, clusters)))
        for one in topology.backends
    ]
    health = {"name": "health", "domains": ["*"], "routes": [_health()]}
    return _configuration(INTERNAL, [*hosts, health])


def _service_routes(one: Living) -> Iterator[Json]:
    yield from _guarded(one, version_leads(one))
    for name in one.all_names:
        versions = sorted({backend.version for backend in one.backends if name in dict(backend.models)})
        for route in _unknown_version(name, versions):
            yield {**route, "name": one.service.name}
    yield from _guarded(one, plain_leads(one))


def _guarded(one: Living, found: Sequence[Lead]) -> Iterator[Json]:
    if has_admission(one.service.access):
        for lead in found:
            yield from admitted(lead)
    for lead in found:
        if lead.body_bytes:
            for match in lead.matches:
                yield {**_too_large(match, lead.body_bytes), "name": lead.service}
        yield from guarded(lead, one.service.access)


def _unguarded(found: Sequence[Lead]) -> list[Json]:
    return [lead_route(lead, match) for lead in found for match in lead.matches]


def _is_streaming(one: Living) -> bool:
    return any(backend.streaming for backend in one.backends)


def _host(name: str, domain: str, routes: list[Json]) -> Json:
    return {"name": name, "domains": [domain], "include_request_attempt_count": True, "routes": routes}


def _configuration(name: str, hosts: list[Json], removed: tuple[str, ...] = ()) -> Json:
    configuration: Json = {
        "name": name,
        "virtual_hosts": hosts,
        "max_direct_response_body_size_bytes": 2**20,
        # Clusters are written first, so a name that is missing is one that was deleted this moment.
        "validate_clusters": False,
    }
    if removed:
        configuration["request_headers_to_remove"] = list(removed)
    return discovery(ROUTE_TYPE, configuration)


def _unless_revoked(revoked: Sequence[RevokedToken], routes: list[Json]) -> Json:
    """A map of revoked tokens before the routes: looked up at once, however many there are."""
    if not revoked:
        return {"routes": routes}
    reason = f"token %REQ({TOKEN_HEADER})% of user %REQ({USER_HEADER})% is revoked"
    refused = direct_text({"prefix": "/"}, 401, reason)
    refusal = {"name": "refuse", "typed_config": {"@type": f"{_ROUTE}Route", **refused}}
    token = {
        "name": "token",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": TOKEN_HEADER,
        },
    }
    tokens = {one.token: {"action": refusal} for one in sorted(revoked, key=lambda one: one.token)}
    otherwise = {"name": "routes", "typed_config": {"@type": f"{_ROUTE}RouteList", "routes": routes}}
    return {
        "matcher": {
            "matcher_tree": {"input": token, "exact_match_map": {"map": tokens}},
            "on_no_match": {"action": otherwise},
        }
    }


def _too_large(match: Json, body_limit: int) -> Json:
    """Refused by what the request announces, before a byte of it is read."""
    # Not a range above the limit: what no 64 bits can hold is beyond every range.
    announced: list[Json] = [
        {"name": "content-length", "present_match": True},
        {
            "name": "content-length",
            "range_match": {"start": 0, "end": body_limit + 1},
            "invert_match": True,
        },
    ]
    narrowed = {**match, "headers": [*match.get("headers", ()), *announced]}
    return direct(narrowed, 413, **too_large_body(body_limit))


def _general(services: Sequence[Living]) -> list[Json]:
    names = sorted(name for one in services for name in one.names)
    return [
        direct({"path": "/v1/models"}, 200, models=names),
        _health(),
        direct({"path": "/v2/health/live"}, 200, live=True),
        direct({"path": "/v2/health/ready"}, 200, ready=True),
        direct({"path": "/v2"}, 200, **server_metadata()),
        _unknown_model(sorted(one.service.name for one in services)),
        _unknown_model(sorted(one.service.name for one in services), "/v2/models/"),
        _unknown_path(),
    ]


def _health() -> Json:
    return direct({"path": GATEWAY_HEALTH}, 200, live=True)


def _unknown_version(name: str, versions: Sequence[int]) -> Iterator[Json]:
    known = ", ".join(str(version) for version in versions)
    for match in any_version_matches(name):
        yield direct(
            match,
            404,
            error=f"model {name!r} has no such version: %PATH(NQ)%",
            code="not_found",
            hint=f"versions here: {known}",
        )


def _unknown_model(services: list[str], prefix: str = "/v1/models/") -> Json:
    return direct(
        {"prefix": prefix},
        404,
        error="nothing is served at %PATH(NQ)%",
        code="not_found",
        hint=f"services here: {', '.join(services)}" if services else "no service is up",
    )


def _unknown_path() -> Json:
    return direct(
        {"prefix": "/"},
        404,
        error="nothing answers %REQ(:METHOD)% %PATH(NQ)%",
        code="not_found",
        hint="ask POST /v1/models/NAME:predict, or GET /v1/models for the names",
    )
