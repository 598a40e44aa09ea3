"""What a policy is, and the first one: by priority, then first come first served, gangs all or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from argosy.schedule.model import JobId
from argosy.schedule.state import ScheduleState, never_fits


@dataclass(frozen=True, slots=True)
class Start:
    """Grant the job everything it asks for."""

    job: JobId


Decision = Start
Policy = Callable[[ScheduleState], tuple[Decision, ...]]
"""Pure: equal states give equal decisions. The decisions together must fit the capacity."""


def first_come_first_served(state: ScheduleState) -> tuple[Decision, ...]:
    """Start from the head of the line until the head does not fit; nobody overtakes it.

    A job that asks for more than there is in all can never be the head: it would keep out everybody else.
    """
    used = state.used
    starts = []
    for place in state.waiting:
        wanted = used.plus(place.job.demand, place.job.workers)
        if wanted.fits(state.capacity):
            used = wanted
            starts.append(Start(place.job.id))
        elif not never_fits(place.job, state.capacity):
            break
    return tuple(starts)
