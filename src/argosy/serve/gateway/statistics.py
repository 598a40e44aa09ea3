"""What the gateway's clusters are doing now, in one question to Envoy."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from argosy.errors import Unavailable
from argosy.serve.gateway.envoy.names import base_cluster
from argosy.serve.http.client import Client, RequestFailed

_FIELDS = {
    "upstream_rq_active": 0,
    "upstream_rq_pending_active": 1,
    "upstream_rq_total": 2,
    "upstream_rq_active_overflow": 3,
}
_FILTER = quote(rf"^cluster\.[^~].*\.({'|'.join(_FIELDS)})$")
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ClusterStatistics:
    """``active`` requests are with replicas or the activator, ``pending`` ones wait for a connection;
    ``total`` only grows, from the start of the Envoy that runs, and has every attempt of a request;
    ``refused`` grows likewise, with those for which the replicas had no room."""

    active: int = 0
    pending: int = 0
    total: int = 0
    refused: int = 0


class _Statistic(msgspec.Struct):
    name: str = ""
    value: int = 0


class _Statistics(msgspec.Struct):
    stats: list[_Statistic]


async def cluster_statistics(admin_socket: str) -> dict[str, ClusterStatistics]:
    """By the cluster's name in the topology, HTTP and gRPC together. Raises Unavailable."""
    client = Client(admin_socket)
    try:
        response = await client.request(
            "GET", f"/stats?format=json&filter={_FILTER}", timeout_seconds=_SECONDS
        )
        return _summed(msgspec.json.decode(response.body, type=_Statistics).stats)
    except (RequestFailed, msgspec.MsgspecError) as error:
        raise Unavailable(f"the gateway does not say what it is doing: {error}") from None
    finally:
        client.close()


def _summed(statistics: list[_Statistic]) -> dict[str, ClusterStatistics]:
    sums: dict[str, list[int]] = {}
    for one in statistics:
        cluster, _, field = one.name.removeprefix("cluster.").rpartition(".")
        sums.setdefault(base_cluster(cluster), [0] * len(_FIELDS))[_FIELDS[field]] += one.value
    return {cluster: ClusterStatistics(*values) for cluster, values in sums.items()}
