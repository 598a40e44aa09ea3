"""What Envoy is started with: its listeners, and where the files are that may change."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.serve.gateway.envoy.json_types import Json, pipe, typed, watched
from argosy.serve.gateway.envoy.listeners import (
    admitted_listener,
    internal_listener,
    public_listener,
    queue_listener,
    waking_listener,
)
from argosy.serve.gateway.envoy.room import room_layer


@dataclass(frozen=True, slots=True)
class GatewayPaths:
    """Files Envoy watches, and sockets: ``internal`` is for routers and probes, ``admin`` for us. Envoy makes
    both; the control plane makes ``activator``. Envoy writes ``audit``, and reads ``jwks`` once."""

    clusters: str
    room: str
    public_routes: str
    internal_routes: str
    jwks: str
    audit: str
    internal_socket: str
    admin_socket: str
    activator: str


def bootstrap(port: int, paths: GatewayPaths, key: str = "") -> Json:
    """The public listener on 127.0.0.1:``port``; everything else is reachable by this user alone.

    ``key`` tells one signing key from another: Envoy reads it only when it starts.
    """
    return {
        "node": {"id": "gateway", "cluster": "argosy", "metadata": {"key": key}},
        "admin": {"address": pipe(paths.admin_socket)},
        "layered_runtime": room_layer(paths.room),
        "bootstrap_extensions": [
            typed("envoy.bootstrap.internal_listener", "bootstrap.internal_listener.v3.InternalListener")
        ],
        "static_resources": {
            "listeners": [
                public_listener(port, paths.public_routes, paths.jwks, paths.audit),
                internal_listener(paths.internal_socket, paths.internal_routes),
                queue_listener(),
                admitted_listener(paths.public_routes),
                waking_listener(),
            ]
        },
        "dynamic_resources": {"cds_config": watched(paths.clusters)},
        "overload_manager": _overload_manager(),
    }


def _overload_manager() -> Json:
    limit = typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=10_000,
    )
    return {"resource_monitors": [limit]}
