"""Clusters and their endpoints: how the gateway reaches replicas, and when it stops choosing one."""

from __future__ import annotations

from argosy.flow.service_options import Balancing, BalancingPolicy
from argosy.serve.gateway.envoy.admission import admission_clusters
from argosy.serve.gateway.envoy.json_types import (
    Json,
    discovery,
    duration,
    inside,
    loopback,
    watched,
)
from argosy.serve.gateway.envoy.names import ACTIVATOR, WAKING, grpc_cluster
from argosy.serve.gateway.envoy.upstreams import protocol_options, static_cluster, thresholds
from argosy.serve.gateway.topology import Cluster, Endpoint, Topology

ENDPOINT_TYPE = "envoy.config.endpoint.v3.ClusterLoadAssignment"

# One healthy replica counts as all of them: the others' share goes to it, never to the activator.
_ONE_IS_ENOUGH = 100_000
_PLACES_ON_THE_RING = 1024


def clusters(topology: Topology, endpoints_folder: str, activator: str) -> list[Json]:
    """All that routes lead to, by HTTP and by gRPC, and what limits what goes there."""
    sharded = _sharded(topology)
    made: list[Json] = []
    for one in topology.clusters:
        balancing = Balancing(BalancingPolicy.RING_HASH) if one.name in sharded else one.balancing
        policy = _policy(balancing, len(one.endpoints))
        made.append(_cluster(one.name, policy, endpoints_folder))
        made.append(_cluster(grpc_cluster(one.name), policy, endpoints_folder, grpc=True))
    made += admission_clusters(topology.services)
    # gRPC, whose requests the activator can not take, asks it to wake the replicas.
    made.append(static_cluster(ACTIVATOR, {"pipe": {"path": activator}}))
    return made


def endpoints_files(of: Cluster, activator: str) -> dict[str, Json]:
    """One cluster's replicas, and the same by their gRPC ports; each under the name of its file.

    A change of it never touches the cluster or its living connections. Without a healthy replica the
    activator has the second priority; gRPC reaches it by way of the waking listener.
    """
    replicas = [_endpoint(one, one.port) for one in of.endpoints]
    by_grpc = [_endpoint(one, one.grpc_port) for one in of.endpoints if one.grpc_port]
    waking = {"address": inside(WAKING), "health_check_config": {"disable_active_health_check": True}}
    return {
        endpoints_name(of.name): _assignment(of.name, replicas, {"address": {"pipe": {"path": activator}}}),
        endpoints_name(grpc_cluster(of.name)): _assignment(grpc_cluster(of.name), by_grpc, waking),
    }


def endpoints_name(cluster_name: str) -> str:
    return f"{cluster_name}.json"


def _cluster(name: str, policy: Json, endpoints_folder: str, *, grpc: bool = False) -> Json:
    """The healthy replicas of one model.

    ``ignore_health_on_host_removal``: a replica that leaves the file gets no new request from then on, and
    finishes what it has.
    """
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": duration(1),
        **policy,
        "eds_cluster_config": {"eds_config": watched(f"{endpoints_folder}/{endpoints_name(name)}")},
        "ignore_health_on_host_removal": True,
        "health_checks": [_health_check()],
        "outlier_detection": _outlier_detection(),
        # The replicas bound their own queues; Envoy's default of 3 retries would fail requests when one dies.
        "circuit_breakers": thresholds(),
        "common_lb_config": {
            # Never to an unhealthy replica while the activator can take the request instead.
            "healthy_panic_threshold": {"value": 0},
            # By default Envoy collects changes of health for a second: meanwhile it chooses the dead replica.
            "update_merge_window": duration(0),
        },
        "typed_extension_protocol_options": protocol_options(grpc=grpc),
    }


def _sharded(topology: Topology) -> set[str]:
    """Clusters of the shards of streaming services: whatever the service says, a key has its shard."""
    return {name for backend in topology.backends if backend.streaming for _, name in backend.models[1:]}


def _policy(balancing: Balancing, replicas: int) -> Json:
    """A ring grows with its replicas: with as many places for each as before, one more of them takes only
    its share of the keys. Envoy would divide a ring of one size anew among all."""
    if balancing.policy is not BalancingPolicy.RING_HASH:
        return {"lb_policy": balancing.policy.upper()}
    size = _PLACES_ON_THE_RING * max(1, replicas)
    return {
        "lb_policy": "RING_HASH",
        "ring_hash_lb_config": {"minimum_ring_size": size, "hash_function": "XX_HASH"},
    }


def _assignment(name: str, replicas: list[Json], last_resort: Json) -> Json:
    localities: list[Json] = [
        {"priority": 0, "lb_endpoints": replicas},
        {"priority": 1, "lb_endpoints": [{"endpoint": last_resort}]},
    ]
    policy = {"overprovisioning_factor": _ONE_IS_ENOUGH}
    return discovery(ENDPOINT_TYPE, {"cluster_name": name, "endpoints": localities, "policy": policy})


def _endpoint(of: Endpoint, port: int) -> Json:
    endpoint: Json = {"address": loopback(port)}
    if port != of.port:
        endpoint["health_check_config"] = {"port_value": of.port}
    # Its place in the ring is its name's, so a process that replaces it has the same share.
    return {"endpoint": endpoint, "metadata": {"filter_metadata": {"envoy.lb": {"hash_key": of.key}}}}


def _health_check() -> Json:
    return {
        "timeout": duration(2),
        "interval": duration(1),
        # Without this a replica that had no traffic yet is asked once a minute.
        "no_traffic_interval": duration(1),
        "no_traffic_healthy_interval": duration(1),
        "unhealthy_edge_interval": duration(0.25),
        "unhealthy_interval": duration(0.25),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/readyz"},
    }


def _outlier_detection() -> Json:
    """Only failed connections count: an input the model fails on says nothing against its replica."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": duration(1),
        "base_ejection_time": duration(2),
        "max_ejection_time": duration(10),
        "max_ejection_percent": 50,
    }
