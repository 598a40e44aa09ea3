"""The scheduler as a pure step: ``decide(state, event) -> (state, decisions)``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from argosy.schedule.model import Capacity, Job, JobId
from argosy.schedule.policy import Decision, Policy, first_come_first_served
from argosy.schedule.state import ScheduleState, Usage, never_fits, total_usage
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
            return state if state.knows(job.id) else state.with_waiting(job)
        case Adopted(job):
            return state if job.id in state.running else state.without_waiting(job.id).with_running(job)
        case Withdrawn(job_id):
            if job_id in state.running:
                return state.without_running(job_id)
            return state.without_waiting(job_id)
        case CapacityChanged(capacity):
            return replace(state, capacity=capacity)
        case _:
            assert_never(event)


def _start(state: ScheduleState, decisions: tuple[Decision, ...]) -> ScheduleState:
    for decision in decisions:
        job = state.places[decision.job].job
        state = state.without_waiting(job.id).with_running(job)
    return state


def explain(state: ScheduleState, job: JobId) -> str:
    """One sentence on why a job waits: what it needs, what is free, who is before it."""
    position = state.position(job)
    if position is None:
        return ""
    waiting = state.places[job].job
    wanted, capacity = total_usage([waiting]), state.capacity
    needs = f"needs {_describe(wanted, wanted)}"
    if never_fits(waiting, capacity):
        there_is = Usage(capacity.cpu, capacity.memory, capacity.gpu)
        return f"can not start: {needs}, in all there are {_describe(there_is, wanted)}"
    # Jobs that can never start are passed over, so the line begins behind them.
    head = next(i for i, place in enumerate(state.waiting) if not never_fits(place.job, capacity))
    if position > head:
        return f"number {position - head + 1} in line; {needs}"
    return f"next in line; {needs}, free are {_describe(_free(state), wanted)}"


def _free(state: ScheduleState) -> Usage:
    capacity, used = state.capacity, state.used
    return Usage(
        max(0.0, capacity.cpu - used.cpu),
        max(0, capacity.memory - used.memory),
        max(0, capacity.gpu - used.gpu),
    )


def _describe(usage: Usage, wanted: Usage) -> str:
    """The amounts of what is wanted: what is not asked for says nothing."""
    parts = [f"{usage.cpu:.6g} cpu"] if wanted.cpu or not (wanted.memory or wanted.gpu) else []
    if wanted.memory:
        parts.append(f"{format_memory(usage.memory)} memory")
    if wanted.gpu:
        parts.append(f"{usage.gpu} gpu")
    return ", ".join(parts)
