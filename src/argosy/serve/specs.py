"""What the processes of the serve room are started with. Light: the control plane reads it too."""

from __future__ import annotations

import msgspec

from argosy.flow.service_options import Batching, Ensemble, Sharding

AGGREGATES = ("mean", "weighted_mean", "majority_vote", "function")

# A model server exits with this when its model took longer than ``inference_seconds``.
INFERENCE_OVERDUE = 124


class ReplicaSpec(msgspec.Struct, frozen=True):
    """A model server. ``directory`` holds the model; ``names`` are what it answers to."""

    directory: str
    names: tuple[str, ...]
    version: int = 1
    batching: Batching = Batching()


class RouterSpec(msgspec.Struct, frozen=True):
    """The router of an ensemble, of a sharded service, or both. ``members`` are model names to ask at the
    gateway's internal ``socket`` under ``authority``, which stands for one revision of the service.
    ``sources`` is the folder of source snapshots, for the user's functions. ``parts`` is how many parts of
    large requests may be under way: no more than one shard takes, since a hash may name one for all."""

    service: str
    members: tuple[str, ...]
    aggregate: str
    socket: str
    authority: str
    version: int = 1
    ensemble: Ensemble = Ensemble()
    sharding: Sharding | None = None
    sources: str = ""
    parts: int = 64


class ComparerSpec(msgspec.Struct, frozen=True):
    """What a shadowed request is sent to: asks both revisions and reports how their answers compare.
    ``authorities`` are the serving revision's and the shadow's."""

    service: str
    authorities: tuple[str, str]
    revisions: tuple[int, int]
    socket: str
