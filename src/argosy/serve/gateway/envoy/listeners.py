"""Envoy's listeners: the public port, the internal socket, and those that only Envoy itself can reach."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from argosy.serve.access.tokens import ISSUER
from argosy.serve.gateway.envoy.actions import BODY_LIMIT, REQUEST_SECONDS
from argosy.serve.gateway.envoy.audit_log import audit_log
from argosy.serve.gateway.envoy.grpc_routes import MODEL_SCRIPT
from argosy.serve.gateway.envoy.guards import LIMITS_SCRIPT
from argosy.serve.gateway.envoy.json_types import BUFFER, Json, duration, loopback, pipe, typed, watched
from argosy.serve.gateway.envoy.names import (
    ADMITTED,
    GROUP_HEADER,
    INTERNAL,
    LIMITS_FILTER,
    MODEL_FILTER,
    PUBLIC,
    QUEUE,
    QUEUE_HEADER,
    TIER_HEADER,
    TOKEN_HEADER,
    TRUSTED_HEADERS,
    USER_HEADER,
    WAKE_HEADER,
    WAKING,
    WHOLE_FILTER,
)
from argosy.serve.gateway.envoy.refusals import HEADERS_SECONDS, error_bodies, replica_errors

_ROUTER = typed("envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True)
_HTTP2 = {
    "max_concurrent_streams": 1024,
    # Bodies of megabytes would otherwise wait for a window of 64 KiB to be opened again and again.
    "initial_stream_window_size": 2**20,
    "initial_connection_window_size": 16 * 2**20,
}


def public_listener(port: int, routes: str, jwks: str, audit: str) -> Json:
    """On the loopback address: tokens are checked, callers counted, bodies kept whole, requests audited."""
    filters = [
        _tokens(jwks),
        # A script by itself is given no more than a stream's window of 1 MiB over HTTP/2.
        {**_buffer(WHOLE_FILTER), "disabled": True},
        _scripts(MODEL_FILTER, MODEL_SCRIPT),
        _scripts(LIMITS_FILTER, LIMITS_SCRIPT),
        _buffer(),
        _ROUTER,
    ]
    removed: list[Json] = [{"remove": name} for name in TRUSTED_HEADERS]
    # With these a caller could set its own timeouts and retries.
    removed.append({"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}})
    stripping = typed(
        "envoy.http.early_header_mutation.header_mutation",
        "http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=removed,
    )
    manager = _connection_manager(PUBLIC, filters, {"rds": _watched_routes(PUBLIC, routes)}) | {
        "early_header_mutation_extensions": [stripping],
        "access_log": [audit_log(audit)],
        # No caller is one of us, though all are on this machine.
        "internal_address_config": {"unix_sockets": False, "cidr_ranges": []},
        "use_remote_address": True,
    }
    return _listener(PUBLIC, manager, address=loopback(port))


def internal_listener(socket: str, routes: str) -> Json:
    """On a unix socket of this user's, for routers and probes."""
    manager = _connection_manager(INTERNAL, [_buffer(), _ROUTER], {"rds": _watched_routes(INTERNAL, routes)})
    return _listener(INTERNAL, manager | {"use_remote_address": True}, address=pipe(socket))


def admitted_listener(routes: str) -> Json:
    """Behind the limits on concurrency. Its routes are those of the public listener."""
    manager = _connection_manager(ADMITTED, [_ROUTER], {"rds": _watched_routes(PUBLIC, routes)})
    return _inside(ADMITTED, manager)


def queue_listener() -> Json:
    """Between the two limits on concurrency: the route in front of it names the queue."""
    action = {"cluster_header": QUEUE_HEADER, "timeout": "0s", "idle_timeout": "0s"}
    return _inside(QUEUE, _connection_manager(QUEUE, [_ROUTER], _one_route(QUEUE, action)))


def waking_listener() -> Json:
    """Where gRPC requests go whose replicas are not there."""
    retry = {
        "retry_on": "retriable-headers",
        "retriable_headers": [{"name": "x-argosy-asleep", "present_match": True}],
        "num_retries": 100,
        "retry_back_off": {"base_interval": duration(0.01), "max_interval": duration(0.05)},
    }
    action = {"cluster_header": WAKE_HEADER, "timeout": duration(REQUEST_SECONDS), "retry_policy": retry}
    script = typed(
        "argosy.wake",
        "filters.http.lua.v3.Lua",
        default_source_code={"inline_string": _script("wake")},
    )
    return _inside(WAKING, _connection_manager(WAKING, [script, _ROUTER], _one_route(WAKING, action)))


def _listener(name: str, manager: dict[str, Any], **where: Any) -> Json:
    filters = [
        {
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": typed(
                "", "filters.network.http_connection_manager.v3.HttpConnectionManager", **manager
            )["typed_config"],
        }
    ]
    listener = {
        "name": name,
        **where,
        # Requests are kept whole until they are answered, so that another replica can take them over.
        "per_connection_buffer_limit_bytes": BODY_LIMIT + 2**20,
        "filter_chains": [{"filters": filters}],
    }
    if "address" in where:
        # With it another user's Envoy could share the port, and get half of the requests.
        listener["enable_reuse_port"] = False
    return listener


def _inside(name: str, manager: dict[str, Any]) -> Json:
    # The caller's address is known from the listener before.
    manager |= {"use_remote_address": False, "skip_xff_append": True}
    # They carry the status of gRPC.
    manager["http_protocol_options"] = {"enable_trailers": True}
    manager["local_reply_config"] = {"mappers": replica_errors()}
    manager["common_http_protocol_options"] = {"max_headers_count": 200}
    manager["stream_idle_timeout"] = "0s"
    return _listener(name, manager, internal_listener={})


def _connection_manager(name: str, filters: list[Json], routes: Json) -> dict[str, Any]:
    return {
        "stat_prefix": name,
        **routes,
        "http_filters": filters,
        "local_reply_config": {"mappers": error_bodies(BODY_LIMIT)},
        "server_name": "argosy",
        "generate_request_id": False,
        # nginx as a proxy and ApacheBench speak HTTP/1.0.
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "http2_protocol_options": _HTTP2,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"idle_timeout": duration(3600), "max_headers_count": 100},
        "request_headers_timeout": duration(HEADERS_SECONDS),
        # How long the rest may take is the route's to say.
        "stream_idle_timeout": duration(REQUEST_SECONDS + 5),
    }


def _watched_routes(name: str, file: str) -> Json:
    return {"route_config_name": name, "config_source": watched(file)}


def _one_route(name: str, action: Json) -> Json:
    host = {
        "name": name,
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": action}],
    }
    return {"route_config": {"name": name, "virtual_hosts": [host]}}


def _tokens(jwks: str) -> Json:
    """A token that is there must be good. What it says becomes headers that nobody else can set."""
    claims = {"sub": USER_HEADER, "group": GROUP_HEADER, "tier": TIER_HEADER, "jti": TOKEN_HEADER}
    provider = {
        "issuer": ISSUER,
        "local_jwks": {"filename": jwks},
        "from_headers": [
            {"name": "authorization", "value_prefix": f"{scheme} "} for scheme in ("Bearer", "bearer")
        ],
        "claim_to_headers": [{"header_name": name, "claim_name": claim} for claim, name in claims.items()],
        "clear_route_cache": True,
        "require_expiration": True,
        "clock_skew_seconds": 1,
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    either = [{"provider_name": ISSUER}, {"allow_missing": {}}]
    return typed(
        "envoy.filters.http.jwt_authn",
        "filters.http.jwt_authn.v3.JwtAuthentication",
        providers={ISSUER: provider},
        rules=[{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": either}}}],
    )


def _scripts(filter_name: str, *scripts: str) -> Json:
    """A filter that does nothing but on the routes that name one of its scripts."""
    code = {script: {"inline_string": _script(script)} for script in scripts}
    return typed(filter_name, "filters.http.lua.v3.Lua", source_codes=code)


def _buffer(name: str = BUFFER) -> Json:
    return typed(name, "filters.http.buffer.v3.Buffer", max_request_bytes=BODY_LIMIT)


@cache
def _script(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.lua").read_text()
