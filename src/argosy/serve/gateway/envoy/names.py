"""Names that several parts of the gateway agree on: listeners, headers, clusters of its own."""

from __future__ import annotations

PUBLIC = "public"
INTERNAL = "internal"
# Inside Envoy only, without any socket: what a limited request passes on its way to the replicas.
QUEUE = "queue"
ADMITTED = "admitted"
WAKING = "waking"

GATEWAY_HEALTH = "/healthz"

REVISION_HEADER = "x-argosy-revision"
REFUSED_HEADER = "x-argosy-refused"
USER_HEADER = "x-argosy-user"
GROUP_HEADER = "x-argosy-group"
TIER_HEADER = "x-argosy-tier"
TOKEN_HEADER = "x-argosy-token"
CLUSTER_HEADER = "x-argosy-cluster"
SHARD_KEY_HEADER = "x-argosy-shard-key"
QUEUE_HEADER = "x-argosy-queue"
WAKE_HEADER = "x-argosy-wake"
WOKEN_HEADER = "x-argosy-woken"
# A gRPC caller may set these two itself; it then saves the gateway a look into the request.
MODEL_HEADER = "x-argosy-model"
MODEL_VERSION_HEADER = "x-argosy-model-version"

# Believed wherever they are found, and therefore taken from every request that comes from outside.
TRUSTED_HEADERS = (
    USER_HEADER,
    GROUP_HEADER,
    TIER_HEADER,
    TOKEN_HEADER,
    CLUSTER_HEADER,
    SHARD_KEY_HEADER,
    QUEUE_HEADER,
    WAKE_HEADER,
    WOKEN_HEADER,
    REFUSED_HEADER,
)

# The two filters that are scripts, and the one that gives a script the whole body.
WHOLE_FILTER = "argosy.whole"
MODEL_FILTER = "argosy.model"
LIMITS_FILTER = "argosy.limits"

GRPC_SERVICE = "/inference.GRPCInferenceService/"

# No name of a service or revision holds a tilde.
_OWN = "~"


def grpc_cluster(cluster: str) -> str:
    """The same replicas by their gRPC ports."""
    return f"{cluster}{_OWN}grpc"


def base_cluster(cluster: str) -> str:
    """The cluster of the topology whose replicas these are; nothing for one that is the gateway's own."""
    return cluster.partition(_OWN)[0]


def admission_cluster(service: str, tier: str) -> str:
    """Bounds how many requests of a tier are there at all, waiting or under way."""
    return f"{_OWN}{service}{_OWN}{tier}"


def queue_cluster(service: str, tier: str) -> str:
    """Bounds how many requests of a tier are under way, and lets the others wait in order."""
    return f"{admission_cluster(service, tier)}{_OWN}queue"


ACTIVATOR = f"{_OWN}activator"
