"""What a service is asked to be: one description for workflows, the command line, the API and the records.

Names follow KServe where it has one: ``scaling.metric`` is its ``scaleMetric``, ``scaling.target`` its
``scaleTarget``, the windows are those of Knative's autoscaler.
"""

from __future__ import annotations

import enum

import msgspec


class Strategy(enum.StrEnum):
    """How a service grows past one process."""

    REPLICATED = "replicated"  # equal replicas behind the load balancer
    SHARDED = "sharded"  # a router splits each request over the replicas
    EVENT = "event"  # no replica while nobody asks


class ScaleMetric(enum.StrEnum):
    """What the number of replicas follows."""

    CONCURRENCY = "concurrency"  # requests under way for each replica
    RPS = "rps"  # requests a second for each replica
    CPU = "cpu"  # percent of one core for each replica
    MEMORY = "memory"  # MiB for each replica


class BalancingPolicy(enum.StrEnum):
    LEAST_REQUEST = "least_request"
    ROUND_ROBIN = "round_robin"
    RING_HASH = "ring_hash"  # by the header ``hash_header``


class ReleaseMode(enum.StrEnum):
    """What a new revision gets once it is ready."""

    REPLACE = "replace"  # all requests
    CANARY = "canary"  # ``percent`` of them
    SHADOW = "shadow"  # a copy of ``percent`` of them: answers are compared and never returned
    HOLD = "hold"  # none, until it is promoted or given traffic


class FunctionReference(msgspec.Struct, frozen=True, omit_defaults=True):
    """A user's function in a stored source snapshot: ``source`` is the snapshot's digest."""

    source: str
    module: str
    function: str


class Scaling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How replicas follow the load between the service's least and most.

    ``target`` is what each replica should have of ``metric``. The stable window averages; when the panic
    window sees ``panic_threshold`` times what the replicas there can take, it decides and nothing shrinks.
    ``idle_seconds`` without a request end the last replica of a service whose least is 0.
    """

    metric: ScaleMetric = ScaleMetric.CONCURRENCY
    target: float = 8.0
    stable_window_seconds: float = 60.0
    panic_window_seconds: float = 6.0
    panic_threshold: float = 2.0
    idle_seconds: float = 30.0


class Batching(msgspec.Struct, frozen=True, omit_defaults=True):
    """A replica's batches and bounds. ``max_wait_seconds`` 0 never waits: what queued while the last batch
    ran is the next. ``inference_seconds`` is how long the model may take before its replica is replaced."""

    max_batch_size: int = 64
    max_wait_seconds: float = 0.0
    queue_requests: int = 256
    inference_seconds: float = 20.0


class Balancing(msgspec.Struct, frozen=True, omit_defaults=True):
    policy: BalancingPolicy = BalancingPolicy.LEAST_REQUEST
    hash_header: str = ""


class Sharding(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the router of a sharded service splits: ``rows`` instances a sub-request; with ``tile``, (height,
    width) in pixels, each instance is one large image that is cut into tiles. ``clean`` is called with each
    part of the merged answer, in order, and gives what is returned of it."""

    rows: int = 64
    tile: tuple[int, int] | None = None
    clean: FunctionReference | None = None
    retries: int = 3
    body_bytes: int = 2 * 2**30


class Ensemble(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the members of a service of several models answer as one: ``aggregate`` says by what. ``weights``
    are for ``weighted_mean``, in the order of the models; ``function`` is for ``function``. At least
    ``quorum`` members (0: all) must answer within ``member_seconds``."""

    weights: tuple[float, ...] = ()
    function: FunctionReference | None = None
    member_seconds: float = 30.0
    quorum: int = 0


class TierLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the callers of one tier may do. ``concurrency`` requests under way at once for the whole tier, and
    ``queue`` more that wait; ``requests`` in each ``period_seconds`` for each caller. None limits nothing."""

    concurrency: int | None = None
    queue: int = 0
    requests: int | None = None
    period_seconds: float = 60.0


ANONYMOUS = "anonymous"
SIGNED_IN = "signed-in"


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who may ask, and how much: limits by tier. A caller without a token is ``anonymous``, one whose token
    names no tier is ``signed-in``; a tier that is not listed has the limits of ``signed-in``."""

    tiers: dict[str, TierLimit] = {}
    require_token: bool = False


class Release(msgspec.Struct, frozen=True, omit_defaults=True):
    mode: ReleaseMode = ReleaseMode.REPLACE
    percent: int = 100


class ServiceOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything about a service but its name, models, (least, most) replicas and aggregate."""

    strategy: Strategy = Strategy.REPLICATED
    scaling: Scaling = Scaling()
    batching: Batching = Batching()
    balancing: Balancing = Balancing()
    sharding: Sharding = Sharding()
    ensemble: Ensemble = Ensemble()
    access: Access = Access()
    release: Release = Release()
