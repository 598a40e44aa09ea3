"""Limits on concurrency: exact bounds on what of a tier is under way, and on what waits.

Envoy bounds connections and requests exactly for one host only, so a limited request passes through Envoy
twice or three times: a first cluster refuses what is over ``concurrency`` and ``queue`` together, a second
one, where there is a queue, has ``concurrency`` connections and lets the others wait for one in order. Both
lead to a listener inside this Envoy, behind which are the shares and the replicas, however many.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.flow.service_options import TierLimit
from argosy.serve.gateway.envoy.json_types import Json, inside
from argosy.serve.gateway.envoy.names import ADMITTED, QUEUE, admission_cluster, queue_cluster
from argosy.serve.gateway.envoy.upstreams import static_cluster
from argosy.serve.gateway.topology import PublicService


def admission_clusters(services: Iterable[PublicService]) -> list[Json]:
    """The clusters of every tier whose concurrency is limited."""
    made: list[Json] = []
    for service in services:
        for tier, limit in sorted(service.access.tiers.items()):
            made += _clusters(service.name, tier, limit)
    return made


def _clusters(service: str, tier: str, limit: TierLimit) -> list[Json]:
    if limit.concurrency is None:
        return []
    entrance = admission_cluster(service, tier)
    if not limit.queue or not limit.concurrency:
        return [_bounded(entrance, ADMITTED, max_requests=limit.concurrency)]
    return [
        _bounded(entrance, QUEUE, max_requests=limit.concurrency + limit.queue),
        _bounded(queue_cluster(service, tier), ADMITTED, max_connections=limit.concurrency),
    ]


def _bounded(name: str, listener: str, **bound: int) -> Json:
    return static_cluster(name, inside(listener), inside=True, max_retries=0, **bound)
