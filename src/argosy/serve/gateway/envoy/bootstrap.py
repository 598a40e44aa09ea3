"""What Envoy is started with: two listeners, and where the files are that may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from argosy.serve.gateway.envoy.json_types import Json, duration, loopback, pipe, typed, watched
from argosy.serve.gateway.envoy.routes import INTERNAL, PUBLIC, REQUEST_SECONDS, too_large_body

BODY_LIMIT = 32 * 2**20
HEADERS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class GatewayPaths:
    """Files Envoy watches, and sockets: ``internal`` is for routers and probes, ``admin`` for us. Envoy makes
    both; the control plane makes ``activator``."""

    clusters: str
    public_routes: str
    internal_routes: str
    internal_socket: str
    admin_socket: str
    activator: str


def bootstrap(port: int, paths: GatewayPaths) -> Json:
    """The public listener on 127.0.0.1:``port``; everything else is reachable by this user alone."""
    return {
        "node": {"id": "gateway", "cluster": "argosy"},
        "admin": {"address": pipe(paths.admin_socket)},
        "static_resources": {
            "listeners": [
                _listener(PUBLIC, loopback(port), paths.public_routes),
                _listener(INTERNAL, pipe(paths.internal_socket), paths.internal_routes),
            ]
        },
        "dynamic_resources": {"cds_config": watched(paths.clusters)},
        "overload_manager": _overload_manager(),
    }


def _listener(name: str, address: Json, routes: str) -> Json:
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        **_connection_manager(name, routes),
    )
    return {
        "name": name,
        "address": address,
        # With it another user's Envoy could share the port, and get half of the requests.
        "enable_reuse_port": False,
        # Requests are kept whole until they are answered, so that another replica can take them over.
        "per_connection_buffer_limit_bytes": BODY_LIMIT + 2**20,
        "filter_chains": [{"filters": [manager]}],
    }


def _connection_manager(name: str, routes: str) -> dict[str, Any]:
    return {
        "stat_prefix": name,
        "rds": {"route_config_name": name, "config_source": watched(routes)},
        "http_filters": [
            typed("envoy.filters.http.buffer", "filters.http.buffer.v3.Buffer", max_request_bytes=BODY_LIMIT),
            typed("envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True),
        ],
        "local_reply_config": {"mappers": _error_bodies()},
        "server_name": "argosy",
        "generate_request_id": False,
        # nginx as a proxy and ApacheBench speak it.
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": True,
        "common_http_protocol_options": {
            "idle_timeout": duration(3600),
            "max_headers_count": 100,
        },
        "request_headers_timeout": duration(HEADERS_SECONDS),
        "request_timeout": duration(REQUEST_SECONDS),
        "stream_idle_timeout": duration(REQUEST_SECONDS + 5),
    }


def _overload_manager() -> Json:
    limit = typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=10_000,
    )
    return {"resource_monitors": [limit]}


def _error_bodies() -> list[Json]:
    """Envoy's own errors in the form of ours."""
    too_large = _status_is(413)
    no_replica = _flags("UH", "NC")
    broken = _flags("UF", "UC", "URX", "LR", "UR")
    return [
        _mapper(too_large, **too_large_body(BODY_LIMIT)),
        _mapper(
            no_replica,
            error="no replica is ready for %PATH(NQ)%",
            code="unavailable",
            hint="send the request again after a second; `argosy services` shows the state",
            retry_after="1",
        ),
        _mapper(
            broken,
            error="the replicas for %PATH(NQ)% gave no answer (%RESPONSE_CODE_DETAILS%)",
            code="unavailable",
            hint="send the request again after a second; `argosy services` shows the state",
            retry_after="1",
        ),
        _mapper(
            _flags("UO"),
            error="too many requests are under way for %PATH(NQ)%",
            code="overloaded",
            hint="send the request again after a second",
            retry_after="1",
        ),
        _mapper(
            _flags("UT"),
            error=f"no answer for %PATH(NQ)% within {REQUEST_SECONDS:g} s",
            code="timeout",
            hint="send fewer instances in a request",
        ),
        _mapper(
            _flags("DPE"),
            error="the request is not valid HTTP (%RESPONSE_CODE_DETAILS%)",
            code="invalid_request",
        ),
        _mapper(
            _status_is(431),
            error="the request's headers are too many or too large",
            code="too_large",
            hint="at most 100 headers of 60 KiB together are taken",
        ),
        _mapper(
            _status_is(408),
            error="the request was not received in time",
            code="timeout",
            hint=f"its headers may take {HEADERS_SECONDS:g} s, all of it {REQUEST_SECONDS:g} s",
        ),
        _mapper(
            _status_is(403),
            error="the connection can not be upgraded to another protocol",
            code="invalid_request",
            hint="speak HTTP/1.1 or HTTP/2",
        ),
        _mapper(
            _status_is(400),
            error="the request is not valid HTTP (%RESPONSE_CODE_DETAILS%)",
            code="invalid_request",
            hint="send a Host header and a path without %%2F, %%5C and %%00",
        ),
    ]


def _mapper(match: Json, *, retry_after: str = "", **body: str) -> Json:
    mapper: Json = {"filter": match, "body_format_override": {"json_format": body}}
    if retry_after:
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": retry_after}}]
    return mapper


def _status_is(status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"argosy.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _flags(*flags: str) -> Json:
    return {"response_flag_filter": {"flags": list(flags)}}
