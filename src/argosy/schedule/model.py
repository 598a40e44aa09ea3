"""Who asks for what: jobs and the cluster they share, as pure data."""

from __future__ import annotations

from typing import NewType

import msgspec

JobId = NewType("JobId", str)


class Demand(msgspec.Struct, frozen=True):
    """What one worker of a job holds while it runs. ``memory`` is bytes."""

    cpu: float = 1.0
    memory: int = 0
    gpu: int = 0


class Job(msgspec.Struct, frozen=True):
    """``workers`` equal demands, granted all or none. Higher ``priority`` first, then first come.

    ``arrival`` is (seconds, tie-break) of the work the job is for: what has to run again keeps its place
    before all that came later.
    """

    id: JobId
    demand: Demand
    workers: int = 1
    priority: int = 0
    user: str = ""
    queue: str = "default"
    arrival: tuple[float, int] = (0.0, 0)


class Capacity(msgspec.Struct, frozen=True):
    """What there is to share."""

    cpu: float
    memory: int
    gpu: int = 0
