"""The scheduler's state: jobs that hold resources, jobs that wait, in order."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from argosy.schedule.model import Capacity, Demand, Job, JobId

# Sums of fractions of a core must not keep the last job out.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Usage:
    """What the running jobs hold together."""

    cpu: float = 0.0
    memory: int = 0
    gpu: int = 0

    def plus(self, demand: Demand, workers: int) -> Usage:
        return Usage(
            self.cpu + demand.cpu * workers,
            self.memory + demand.memory * workers,
            self.gpu + demand.gpu * workers,
        )

    def fits(self, capacity: Capacity) -> bool:
        return (
            self.cpu <= capacity.cpu + _TOLERANCE
            and self.memory <= capacity.memory
            and self.gpu <= capacity.gpu
        )


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A waiting job's place: higher priority first, then first come first served."""

    negative_priority: int
    sequence: int
    job: Job = field(compare=False)


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """``waiting`` is sorted by place; ``running`` holds every job that has been granted and not ended."""

    capacity: Capacity
    running: Mapping[JobId, Job] = field(default_factory=dict)
    waiting: tuple[Place, ...] = ()
    used: Usage = Usage()
    sequence: int = 0

    def with_waiting(self, job: Job) -> ScheduleState:
        places = list(self.waiting)
        insort(places, Place(-job.priority, self.sequence, job))
        return replace(self, waiting=tuple(places), sequence=self.sequence + 1)

    def without_waiting(self, job: JobId) -> ScheduleState:
        return replace(self, waiting=tuple(place for place in self.waiting if place.job.id != job))

    def with_running(self, job: Job) -> ScheduleState:
        return replace(
            self, running={**self.running, job.id: job}, used=self.used.plus(job.demand, job.workers)
        )

    def without_running(self, job: JobId) -> ScheduleState:
        running = dict(self.running)
        ended = running.pop(job, None)
        if ended is None:
            return self
        # Added up afresh when nothing is left, so that fractions do not drift over a long life.
        used = self.used.plus(ended.demand, -ended.workers) if running else Usage()
        return replace(self, running=running, used=used)


def never_fits(job: Job, capacity: Capacity) -> bool:
    """Whether the job asks for more than there is in all."""
    return not Usage().plus(job.demand, job.workers).fits(capacity)
