"""What the processes of the serve room are started with. Light: the control plane reads it too."""

from __future__ import annotations

import msgspec

AGGREGATES = ("mean",)


class ReplicaSpec(msgspec.Struct, frozen=True):
    """A model server. ``directory`` holds the model; ``names`` are what it answers to."""

    directory: str
    names: tuple[str, ...]
    version: int = 1
    batch_rows: int = 64
    queue_requests: int = 256


class RouterSpec(msgspec.Struct, frozen=True):
    """The router of an ensemble. ``members`` are model names to ask at the gateway's internal ``socket``
    under ``authority``, which stands for one revision of the service."""

    service: str
    members: tuple[str, ...]
    aggregate: str
    socket: str
    authority: str
    version: int = 1
    timeout_seconds: float = 60.0
