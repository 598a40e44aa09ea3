"""How many requests the replicas of a cluster take, as settings of Envoy that change while it runs.

What is over it is refused by Envoy, which is quicker at that than a replica and leaves it to its answers.
They are runtime settings and no part of the clusters, because a cluster that changes loses its connections.
"""

from __future__ import annotations

from argosy.serve.gateway.envoy.json_types import Json, discovery, watched
from argosy.serve.gateway.envoy.names import grpc_cluster
from argosy.serve.gateway.topology import Topology

_LAYER = "room"


def room_file(topology: Topology) -> Json:
    """The bound of every cluster that has one, instead of the bound that is never reached."""
    bounds = {
        f"circuit_breakers.{name}.default.max_requests": one.room
        for one in topology.clusters
        if one.room
        for name in (one.name, grpc_cluster(one.name))
    }
    return discovery("envoy.service.runtime.v3.Runtime", {"name": _LAYER, "layer": bounds})


def room_layer(file: str) -> Json:
    """Where Envoy finds them."""
    return {"layers": [{"name": _LAYER, "rtds_layer": {"name": _LAYER, "rtds_config": watched(file)}}]}
