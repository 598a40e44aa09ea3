"""Routes: which model name leads to which cluster, and what is answered to what leads nowhere."""

from __future__ import annotations

import json
from typing import Any

from argosy.serve.gateway.envoy.json_types import Json, discovery, duration, json_header, typed
from argosy.serve.gateway.topology import Backend, Topology

ROUTE_TYPE = "envoy.config.route.v3.RouteConfiguration"
PUBLIC = "public"
INTERNAL = "internal"

REQUEST_SECONDS = 60.0
REVISION_HEADER = "x-argosy-revision"
GATEWAY_HEALTH = "/healthz"

# Every request to a model may be sent twice: predicting changes nothing. Answers are never retried.
_RETRY_ON = "connect-failure,refused-stream,reset,reset-before-request"
_RETRIES = 4
_LARGEST = 9223372036854775807


def public_file(topology: Topology, body_limit: int) -> Json:
    """What callers see: every public service, its members, the list of them, errors that name the fault."""
    public = tuple(one for one in topology.backends if _percent(topology, one))
    routes = [_too_large(body_limit)]
    for service in topology.services:
        shares = [one for one in public if one.service == service.name]
        for rule in service.headers:
            named = [
                one
                for one in topology.backends
                if (one.service, one.revision) == (service.name, rule.revision)
            ]
            routes += [
                _with_header(route, rule.header, rule.value) for one in named for route in _model_routes(one)
            ]
        for model in dict.fromkeys(name for one in shares for name, _ in one.models):
            routes += _shared_routes(model, [(one, _percent(topology, one)) for one in shares])
    names = sorted({name for backend in public for name, _ in backend.models})
    services = sorted({backend.service for backend in public})
    routes += [_listing(names), _health(), _unknown_model(services), _unknown_path()]
    return _configuration(PUBLIC, [{"name": PUBLIC, "domains": ["*"], "routes": routes}])


def _percent(topology: Topology, backend: Backend) -> int:
    shares = (share for one in topology.services if one.name == backend.service for share in one.shares)
    return sum(share.percent for share in shares if share.revision == backend.revision)


def _with_header(route: Json, name: str, value: str) -> Json:
    match = {**route["match"], "headers": [{"name": name, "string_match": {"exact": value}}]}
    return {**route, "match": match}


def _shared_routes(model: str, shares: list[tuple[Backend, int]]) -> list[Json]:
    clusters = [
        {
            "name": cluster,
            "weight": percent,
            "request_headers_to_add": [json_header("x-argosy-cluster", cluster)],
            "response_headers_to_add": [json_header(REVISION_HEADER, str(backend.revision))],
        }
        for backend, percent in shares
        for name, cluster in backend.models
        if name == model
    ]
    action = {key: value for key, value in _action("").items() if key != "cluster"}
    return [
        {"match": match, "route": {**action, "weighted_clusters": {"clusters": clusters}}}
        for match in _matches(model)
    ]


def internal_file(backends: tuple[Backend, ...]) -> Json:
    """What routers and probes see: each revision by itself, under its own authority."""
    hosts = [
        {"name": one.authority, "domains": [one.authority], "routes": _model_routes(one)} for one in backends
    ]
    health = {"name": "health", "domains": ["*"], "routes": [_health()]}
    return _configuration(INTERNAL, [*hosts, health])


def _configuration(name: str, hosts: list[Json]) -> Json:
    configuration = {
        "name": name,
        "virtual_hosts": hosts,
        "max_direct_response_body_size_bytes": 2**20,
        # Clusters are written first, so a name that is missing is one that was deleted this moment.
        "validate_clusters": False,
    }
    return discovery(ROUTE_TYPE, configuration)


def _model_routes(backend: Backend) -> list[Json]:
    return [
        {
            "match": match,
            "route": _action(cluster),
            "request_headers_to_add": [json_header("x-argosy-cluster", cluster)],
            "response_headers_to_add": [json_header(REVISION_HEADER, str(backend.revision))],
        }
        for model, cluster in backend.models
        for match in _matches(model)
    ]


def _matches(model: str) -> tuple[Json, ...]:
    """``/v1/models/NAME`` with ``:...``, ``/...`` or nothing after it, and no name that begins alike."""
    path = f"/v1/models/{model}"
    return ({"prefix": f"{path}:"}, {"path_separated_prefix": path})


def _action(cluster: str) -> Json:
    return {
        "cluster": cluster,
        "timeout": duration(REQUEST_SECONDS),
        "retry_policy": {
            "retry_on": _RETRY_ON,
            "num_retries": _RETRIES,
            "retry_host_predicate": [
                typed(
                    "envoy.retry_host_predicates.previous_hosts",
                    "retry.host.previous_hosts.v3.PreviousHostsPredicate",
                )
            ],
            # A replica that has just died has the fewest requests, so least request keeps choosing it.
            "host_selection_retry_max_attempts": 30,
            "retry_back_off": {"base_interval": duration(0.01), "max_interval": duration(0.2)},
        },
    }


def _too_large(body_limit: int) -> Json:
    """Refused by what the request announces, before a byte of it is read."""
    announced = {"name": "content-length", "range_match": {"start": body_limit + 1, "end": _LARGEST}}
    return _direct({"prefix": "/", "headers": [announced]}, 413, **too_large_body(body_limit))


def too_large_body(body_limit: int) -> Json:
    return {
        "error": f"the request body is larger than the {body_limit} bytes that are taken",
        "code": "too_large",
        "hint": "send fewer or smaller instances in a request",
    }


def _listing(names: list[str]) -> Json:
    return _direct({"path": "/v1/models"}, 200, models=names)


def _health() -> Json:
    return _direct({"path": GATEWAY_HEALTH}, 200, live=True)


def _unknown_model(services: list[str]) -> Json:
    return _direct(
        {"prefix": "/v1/models/"},
        404,
        error="nothing is served at %PATH(NQ)%",
        code="not_found",
        hint=f"services here: {', '.join(services)}" if services else "no service is up",
    )


def _unknown_path() -> Json:
    return _direct(
        {"prefix": "/"},
        404,
        error="nothing answers %REQ(:METHOD)% %PATH(NQ)%",
        code="not_found",
        hint="ask POST /v1/models/NAME:predict, or GET /v1/models for the names",
    )


def _direct(match: Json, status: int, **body: Any) -> Json:
    """Answered by the gateway itself, without waiting for the request's body."""
    disabled = typed("", "filters.http.buffer.v3.BufferPerRoute", disabled=True)["typed_config"]
    dynamic = any("%" in value for value in body.values() if isinstance(value, str))
    answer: Json = {"status": status}
    if dynamic:
        answer["body_format"] = {"json_format": body}
    else:
        answer["body"] = {"inline_string": json.dumps(body)}
    return {
        "match": match,
        "direct_response": answer,
        "response_headers_to_add": [json_header("content-type", "application/json")],
        "typed_per_filter_config": {"envoy.filters.http.buffer": disabled},
    }
