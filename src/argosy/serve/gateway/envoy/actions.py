"""What a route does with a request: clusters, balancing, retries and times."""

from __future__ import annotations

from typing import Any

from argosy.flow.service_options import BalancingPolicy
from argosy.serve.gateway.envoy.json_types import BUFFER, Json, duration, header, typed, unbuffered
from argosy.serve.gateway.envoy.leads import Lead, Target
from argosy.serve.gateway.envoy.names import (
    CLUSTER_HEADER,
    REVISION_HEADER,
    WAKE_HEADER,
    base_cluster,
)

BODY_LIMIT = 32 * 2**20
REQUEST_SECONDS = 60.0
WHOLE_REQUEST_SECONDS = REQUEST_SECONDS + 5
STREAMING_SECONDS = 3600.0
STREAMING_IDLE_SECONDS = 600.0

# Every request to a model may be sent twice: predicting changes nothing. Answers are never retried.
_RETRY_ON = "connect-failure,refused-stream,reset,reset-before-request"
_RETRIES = 3
# Of a request that is not kept whole, this much may be sent again, if none of it has arrived anywhere.
_STREAMING_KEPT_BYTES = 2**20


def lead_route(lead: Lead, match: Json, *, mirrored: bool = False) -> Json:
    """Requests that match go to the replicas."""
    action: Json = {**times(lead), "retry_policy": _retries(lead)}
    if policies := _hash_policies(lead):
        action["hash_policy"] = policies
    if mirrored and lead.shadow is not None:
        action["request_mirror_policies"] = [_mirror(lead.shadow.cluster, lead.shadow.percent)]
    route = framed(lead, match)
    if len(lead.targets) == 1:
        action["cluster"] = lead.targets[0].cluster
        route |= _marks(lead, lead.targets[0])
    else:
        weighted = [{"name": one.cluster, "weight": one.weight, **_marks(lead, one)} for one in lead.targets]
        action["weighted_clusters"] = {"clusters": weighted}
    return {**route, "route": action}


def framed(lead: Lead, match: Json) -> Json:
    """What all routes of a lead have. The name says in the audit whose request it was."""
    route: Json = {"name": lead.service, "match": match}
    if lead.body_bytes:
        route["typed_per_filter_config"] = {BUFFER: unbuffered()}
        route["request_body_buffer_limit"] = _STREAMING_KEPT_BYTES
    return route


def times(lead: Lead) -> Json:
    """How long a request may take from its first byte, and after its last."""
    if not lead.body_bytes:
        whole, idle, answer = WHOLE_REQUEST_SECONDS, WHOLE_REQUEST_SECONDS, REQUEST_SECONDS
    else:
        whole, idle, answer = STREAMING_SECONDS + 5, STREAMING_IDLE_SECONDS, STREAMING_SECONDS
    return {
        "timeout": duration(answer),
        "idle_timeout": duration(idle),
        "max_stream_duration": {"max_stream_duration": duration(whole)},
    }


def _marks(lead: Lead, target: Target) -> Json:
    """The activator reads the name of the cluster, callers read the revision."""
    added = [header(CLUSTER_HEADER, base_cluster(target.cluster))]
    if lead.grpc:
        added.append(header(WAKE_HEADER, target.cluster))
    return {
        "request_headers_to_add": added,
        "response_headers_to_add": [header(REVISION_HEADER, str(target.revision))],
    }


def _retries(lead: Lead) -> Json:
    policy: dict[str, Any] = {
        "retry_on": "connect-failure" if lead.body_bytes else _RETRY_ON,
        "num_retries": _RETRIES,
        "retry_host_predicate": [
            typed(
                "envoy.retry_host_predicates.previous_hosts",
                "retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        # After two replicas, or one twice, the activator: it waits for the one that takes their place.
        "retry_priority": typed(
            "envoy.retry_priorities.previous_priorities",
            "retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            update_frequency=2,
        ),
        # A replica that has just died has the fewest requests, so least request keeps choosing it.
        "host_selection_retry_max_attempts": 30,
        "retry_back_off": {"base_interval": duration(0.01), "max_interval": duration(0.2)},
    }
    return policy


def _hash_policies(lead: Lead) -> list[Json]:
    headers = [
        one.balancing.hash_header.lower()
        for one in lead.targets
        if one.balancing.policy is BalancingPolicy.RING_HASH and one.balancing.hash_header
    ]
    return [{"header": {"header_name": name}} for name in dict.fromkeys(headers)]


def _mirror(cluster: str, percent: int) -> Json:
    share = {"numerator": percent, "denominator": "HUNDRED"}
    return {
        "cluster": cluster,
        "runtime_fraction": {"default_value": share},
        "disable_shadow_host_suffix_append": True,
        "request_headers_mutations": [{"append": header(CLUSTER_HEADER, cluster)}],
    }
