"""Clusters and their endpoints: how the gateway reaches replicas, and when it stops choosing one."""

from __future__ import annotations

from argosy.serve.gateway.envoy.json_types import (
    Json,
    discovery,
    duration,
    loopback,
    pipe,
    typed,
    watched,
)
from argosy.serve.gateway.topology import Cluster

CLUSTER_TYPE = "envoy.config.cluster.v3.Cluster"
ENDPOINT_TYPE = "envoy.config.endpoint.v3.ClusterLoadAssignment"

_MANY = 4096


def clusters_file(clusters: tuple[Cluster, ...], endpoints_folder: str) -> Json:
    return discovery(CLUSTER_TYPE, *(cluster(one.name, endpoints_folder) for one in clusters))


def endpoints_file(of: Cluster, activator: str) -> Json:
    """One cluster's replicas. A change of it never touches the cluster or its living connections."""
    endpoints = [{"endpoint": {"address": loopback(one.port)}} for one in of.endpoints]
    last = [{"endpoint": {"address": pipe(activator)}}]
    assignment = {
        "cluster_name": of.name,
        "endpoints": [{"lb_endpoints": endpoints}, {"lb_endpoints": last, "priority": 1}],
        # One healthy replica is enough to keep every request from the activator.
        "policy": {"overprovisioning_factor": 100_000},
    }
    return discovery(ENDPOINT_TYPE, assignment)


def endpoints_name(cluster_name: str) -> str:
    return f"{cluster_name}.json"


def cluster(name: str, endpoints_folder: str) -> Json:
    """Least request over healthy replicas.

    ``ignore_health_on_host_removal``: a replica that leaves the file gets no new request from then on, and
    finishes what it has.
    """
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": duration(1),
        "lb_policy": "LEAST_REQUEST",
        "eds_cluster_config": {"eds_config": watched(f"{endpoints_folder}/{endpoints_name(name)}")},
        "ignore_health_on_host_removal": True,
        "health_checks": [_health_check()],
        "outlier_detection": _outlier_detection(),
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "common_lb_config": {
            # With nearly all replicas unhealthy the checks are more likely wrong than the replicas.
            "healthy_panic_threshold": {"value": 25},
            # By default Envoy collects changes of health for a second: meanwhile it chooses the dead replica.
            "update_merge_window": duration(0),
        },
        "typed_extension_protocol_options": _protocol_options(),
    }


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


def _thresholds() -> Json:
    # The replicas bound their own queues; Envoy's default of 3 retries would fail requests when one dies.
    return {
        "max_connections": _MANY,
        "max_pending_requests": _MANY,
        "max_requests": _MANY,
        "max_retries": _MANY,
    }


def _protocol_options() -> Json:
    options = typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http_protocol_options": {}},
        common_http_protocol_options={"idle_timeout": duration(300)},
    )
    return {options["name"]: options["typed_config"]}
