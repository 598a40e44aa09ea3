"""The scheduler as a pure step: ``decide(state, event) -> (state, decisions)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from argosy.schedule.model import Capacity, Job, JobId
from argosy.schedule.policy import Decision, Policy, first_come_first_served
from argosy.schedule.state import ScheduleState, Usage
from argosy.units import format_memory


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job asks for room. One that is known already changes nothing."""

    job: Job


@dataclass(frozen=True, slots=True)
class Adopted:
    """A job was found running when the control plane came up: it holds its room, whatever the policy says."""

    job: Job


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A job ended, or no longer wants to start."""

    job: JobId


@dataclass(frozen=True, slots=True)
class CapacityChanged:
    capacity: Capacity


Event = Submitted | Adopted | Withdrawn | CapacityChanged


def decide(
    state: ScheduleState, event: Event, policy: Policy = first_come_first_served
) -> tuple[ScheduleState, tuple[Decision, ...]]:
    """Take in one event and return what starts now. Decisions are already part of the returned state."""
    state = _apply(state, event)
    decisions = policy(state)
    if decisions:
        state = _start(state, decisions)
    return state, decisions


def _apply(state: ScheduleState, event: Event) -> ScheduleState:
    match event:
        case Submitted(job):
            known = job.id in state.running or any(place.job.id == job.id for place in state.waiting)
            return state if known else state.with_waiting(job)
        case Adopted(job):
            return state if job.id in state.running else state.without_waiting(job.id).with_running(job)
        case Withdrawn(job_id):
            if job_id in state.running:
                return state.without_running(job_id)
            return state.without_waiting(job_id)
        case CapacityChanged(capacity):
            return ScheduleState(capacity, state.running, state.waiting, state.used, state.sequence)
        case _:
            assert_never(event)


def _start(state: ScheduleState, decisions: tuple[Decision, ...]) -> ScheduleState:
    starting = {decision.job for decision in decisions}
    jobs = [place.job for place in state.waiting if place.job.id in starting]
    used = state.used
    for job in jobs:
        used = used.plus(job.demand, job.workers)
    return ScheduleState(
        state.capacity,
        {**state.running, **{job.id: job for job in jobs}},
        tuple(place for place in state.waiting if place.job.id not in starting),
        used,
        state.sequence,
    )


def explain(state: ScheduleState, job: JobId) -> str:
    """One sentence on why a job waits: what it needs, what is free, who is before it."""
    for position, place in enumerate(state.waiting):
        if place.job.id == job:
            needs = _describe(Usage().plus(place.job.demand, place.job.workers))
            if position:
                return f"number {position + 1} in line; needs {needs}"
            free = Usage(
                state.capacity.cpu - state.used.cpu,
                state.capacity.memory - state.used.memory,
                state.capacity.gpu - state.used.gpu,
            )
            return f"next in line; needs {needs}, free are {_describe(free)}"
    return ""


def _describe(usage: Usage) -> str:
    parts = [f"{usage.cpu:g} cpu"]
    if usage.memory:
        parts.append(f"{format_memory(usage.memory)} memory")
    if usage.gpu:
        parts.append(f"{usage.gpu} gpu")
    return ", ".join(parts)
