"""What the gateway counts for each cluster, read from its admin socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from argosy.errors import Unavailable
from argosy.serve.http.client import Client, RequestFailed

_PATH = "/stats?format=json&filter=upstream_rq_(active|pending_active|total)$"
_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ClusterStatistics:
    """Requests: ``active`` under way, ``pending`` waiting for a connection, ``total`` since the start."""

    active: int = 0
    pending: int = 0
    total: int = 0


async def cluster_statistics(admin_socket: str) -> dict[str, ClusterStatistics]:
    """By cluster name. Raises Unavailable when the gateway does not answer."""
    client = Client(admin_socket)
    try:
        response = await client.request("GET", _PATH, timeout_seconds=_TIMEOUT_SECONDS)
        document: Any = orjson.loads(response.body)
    except (RequestFailed, ValueError) as error:
        raise Unavailable(f"the gateway's statistics can not be read: {error}") from None
    finally:
        client.close()
    counted: dict[str, dict[str, int]] = {}
    for entry in document["stats"]:
        name, _, counter = str(entry.get("name", "")).removeprefix("cluster.").rpartition(".upstream_rq_")
        if name:
            counted.setdefault(name, {})[counter] = int(entry["value"])
    return {
        name: ClusterStatistics(
            counters.get("active", 0), counters.get("pending_active", 0), counters.get("total", 0)
        )
        for name, counters in counted.items()
    }
