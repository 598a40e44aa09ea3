"""What clusters of every kind have in common."""

from __future__ import annotations

from argosy.serve.gateway.envoy.json_types import Json, config, duration

CLUSTER_TYPE = "envoy.config.cluster.v3.Cluster"

_MANY = 8192


def thresholds(**of: int) -> Json:
    """Circuit breakers that never break, but for what is named."""
    every = {
        "max_connections": _MANY,
        "max_pending_requests": _MANY,
        "max_requests": _MANY,
        "max_retries": _MANY,
    }
    return {"thresholds": [every | of]}


def protocol_options(*, grpc: bool = False, trailers: bool = False, idle_seconds: float = 300) -> Json:
    """HTTP/1.1, or HTTP/2 for gRPC. ``trailers`` carry the status of gRPC over HTTP/1.1 inside Envoy."""
    http2: Json = {"http2_protocol_options": {"max_concurrent_streams": 1024}}
    http1: Json = {"http_protocol_options": {"enable_trailers": trailers}}
    options = config(
        "upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config=http2 if grpc else http1,
        common_http_protocol_options={"idle_timeout": duration(idle_seconds)},
    )
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}


def static_cluster(name: str, address: Json, *, inside: bool = False, **bounds: int) -> Json:
    """One endpoint that does not change, perhaps ``inside`` this Envoy, where connections are kept."""
    options = protocol_options(trailers=inside, idle_seconds=0 if inside else 300)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": duration(5),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "circuit_breakers": thresholds(**bounds),
        "typed_extension_protocol_options": options,
    }
