"""The scheduler as a pure step: ``decide(state, event) -> (state, decisions)``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from argosy.schedule.model import Capacity, Demand, Job, JobId
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


def explain(state: ScheduleState) -> dict[JobId, str]:
    """One sentence for each waiting job on why it waits: what it needs, what is free, who is before it."""
    capacity = state.capacity
    there_is, free = Usage(capacity.cpu, capacity.memory, capacity.gpu), _free(state)
    needs: dict[tuple[Demand, int], tuple[Usage, str]] = {}
    reasons: dict[JobId, str] = {}
    before = 0
    for place in state.waiting:
        job = place.job
        kind = (job.demand, job.workers)
        if kind not in needs:
            wanted = total_usage([job])
            needs[kind] = wanted, f"needs {_describe(wanted, wanted)}"
        wanted, text = needs[kind]
        if never_fits(job, capacity):
            # It is passed over, so nobody stands behind it.
            reasons[job.id] = f"can not start: {text}, in all there are {_describe(there_is, wanted)}"
            continue
        before += 1
        if before > 1:
            reasons[job.id] = f"number {before} in line; {text}"
        else:
            reasons[job.id] = f"next in line; {text}, free are {_describe(free, wanted)}"
    return reasons


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
