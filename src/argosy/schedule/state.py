"""The scheduler's state: jobs that hold resources, jobs that wait, in order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from argosy.persistent import PersistentMap
from argosy.schedule.model import Capacity, Demand, Job, JobId

# Sums of fractions of a core must not keep the last job out.
_TOLERANCE = 1e-9
_FEW = 16


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
    arrival: tuple[float, int]
    sequence: int
    job: Job = field(compare=False)


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """``waiting`` is sorted by place, and ``places`` finds a waiting job's.

    ``running`` holds every job that has been granted and not ended, ``used`` what they hold together.
    """

    capacity: Capacity
    running: PersistentMap[JobId, Job] = field(default_factory=PersistentMap)
    waiting: tuple[Place, ...] = ()
    places: PersistentMap[JobId, Place] = field(default_factory=PersistentMap)
    used: Usage = Usage()
    sequence: int = 0

    def knows(self, job: JobId) -> bool:
        return job in self.running or job in self.places

    def position(self, job: JobId) -> int | None:
        """How many jobs stand before a waiting one."""
        place = self.places.get(job)
        return None if place is None else bisect_left(self.waiting, place)

    def with_waiting(self, job: Job) -> ScheduleState:
        place = Place(-job.priority, job.arrival, self.sequence, job)
        position = bisect_left(self.waiting, place)
        return replace(
            self,
            waiting=(*self.waiting[:position], place, *self.waiting[position:]),
            places=self.places.with_item(job.id, place),
            sequence=self.sequence + 1,
        )

    def without_waiting(self, job: JobId) -> ScheduleState:
        position = self.position(job)
        if position is None:
            return self
        return replace(
            self,
            waiting=self.waiting[:position] + self.waiting[position + 1 :],
            places=self.places.without(job),
        )

    def with_running(self, job: Job) -> ScheduleState:
        return replace(
            self,
            running=self.running.with_item(job.id, job),
            used=self.used.plus(job.demand, job.workers),
        )

    def without_running(self, job: JobId) -> ScheduleState:
        ended = self.running.get(job)
        if ended is None:
            return self
        running = self.running.without(job)
        # Added up afresh when little is left, so that fractions do not drift over a long life.
        used = (
            self.used.plus(ended.demand, -ended.workers)
            if len(running) > _FEW
            else total_usage(running.values())
        )
        return replace(self, running=running, used=used)


def total_usage(jobs: Iterable[Job]) -> Usage:
    """What jobs hold together."""
    used = Usage()
    for job in jobs:
        used = used.plus(job.demand, job.workers)
    return used


def never_fits(job: Job, capacity: Capacity) -> bool:
    """Whether the job asks for more than there is in all."""
    return not total_usage([job]).fits(capacity)
