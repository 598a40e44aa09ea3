"""The laws of the first policy, on random clusters, jobs and histories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from argosy.schedule.core import Adopted, CapacityChanged, Event, Submitted, Withdrawn, decide, explain
from argosy.schedule.model import Capacity, Demand, Job, JobId
from argosy.schedule.policy import Start, first_come_first_served
from argosy.schedule.state import ScheduleState, Usage, never_fits, total_usage

TOLERANCE = 1e-6

CPUS = st.one_of(
    st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0, 1 / 3, 2 / 3, 1.5, 2.0, 4.0]),
    st.floats(0.001, 3.0),
)
DEMANDS = st.builds(Demand, cpu=CPUS, memory=st.integers(0, 8), gpu=st.integers(0, 1))
CAPACITIES = st.builds(
    Capacity, cpu=st.sampled_from([0.5, 1.0, 2.0, 3.3]), memory=st.integers(4, 16), gpu=st.integers(0, 2)
)


def fits(state: ScheduleState, used: Usage) -> bool:
    capacity = state.capacity
    return (
        used.cpu <= capacity.cpu + TOLERANCE and used.memory <= capacity.memory and used.gpu <= capacity.gpu
    )


def head(state: ScheduleState) -> Job | None:
    """The first in line of those that could ever start."""
    return next((p.job for p in state.waiting if not never_fits(p.job, state.capacity)), None)


@dataclass
class Told:
    """What a naive observer knows: every job asked for, in order, and those that were started."""

    order: dict[JobId, int]
    jobs: dict[JobId, Job]
    started: set[JobId]


class Scheduling(RuleBasedStateMachine):
    """Any history of submissions, adoptions, withdrawals and changes of capacity."""

    asked = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.state = ScheduleState(Capacity(2.0, 8, 1))
        self.told = Told({}, {}, set())
        self.over = False

    def handle(self, event: Event) -> tuple[Start, ...]:
        before = self.state
        copy = (dict(before.running), before.waiting, dict(before.places), before.used)
        first, second = decide(before, event), decide(before, event)
        assert first == second, "equal inputs, different decisions"
        assert (dict(before.running), before.waiting, dict(before.places), before.used) == copy
        self.state, decisions = first
        self.check_order(decisions)
        self.told.started |= {decision.job for decision in decisions}
        return decisions

    def check_order(self, decisions: tuple[Start, ...]) -> None:
        """Nobody was started before somebody who stands further ahead and could ever be."""
        started = {decision.job for decision in decisions}
        left = [p for p in self.state.waiting if not never_fits(p.job, self.state.capacity)]
        for job in started:
            mine = (-self.told.jobs[job].priority, self.told.order[job])
            assert all(mine < (-p.job.priority, self.told.order[p.job.id]) for p in left)

    @rule(target=asked, demand=DEMANDS, workers=st.integers(1, 4), priority=st.integers(-1, 1))
    def submit(self, demand: Demand, workers: int, priority: int) -> JobId:
        job = Job(JobId(f"j{len(self.told.jobs)}"), demand, workers, priority)
        self.told.jobs[job.id] = job
        self.told.order[job.id] = len(self.told.order)
        self.handle(Submitted(job))
        assert self.state.knows(job.id)
        return job.id

    @rule(job=asked)
    def submit_again(self, job: JobId) -> None:
        if self.state.knows(job):
            before = self.state
            assert self.handle(Submitted(self.told.jobs[job])) == ()
            assert self.state == before

    @rule(job=asked)
    def adopt(self, job: JobId) -> None:
        if job in self.told.jobs:
            self.handle(Adopted(self.told.jobs[job]))
            assert job in self.state.running
            self.over = self.over or not fits(self.state, self.state.used)
            before = self.state
            assert self.handle(Adopted(self.told.jobs[job])) == ()
            assert self.state == before

    @rule(job=consumes(asked))
    def withdraw(self, job: JobId) -> None:
        self.handle(Withdrawn(job))
        assert not self.state.knows(job)
        before = self.state
        assert self.handle(Withdrawn(job)) == ()
        assert self.state == before

    @rule(capacity=CAPACITIES)
    def change_capacity(self, capacity: Capacity) -> None:
        self.handle(CapacityChanged(capacity))
        self.over = not fits(self.state, self.state.used)

    @invariant()
    def never_over_allocated(self) -> None:
        used = total_usage(self.state.running.values())
        assert abs(used.cpu - self.state.used.cpu) < TOLERANCE
        assert (used.memory, used.gpu) == (self.state.used.memory, self.state.used.gpu)
        self.over = self.over and not fits(self.state, used)
        assert self.over or fits(self.state, used)

    @invariant()
    def the_head_of_the_line_waits_only_for_room(self) -> None:
        first = head(self.state)
        if first is not None:
            assert not self.state.used.plus(first.demand, first.workers).fits(self.state.capacity)

    @invariant()
    def the_line_is_in_order_and_nobody_stands_in_it_twice(self) -> None:
        order = [(-p.job.priority, self.told.order.get(p.job.id, -1)) for p in self.state.waiting]
        assert order == sorted(order)
        assert [p.job.id for p in self.state.waiting] == [
            p.job.id for p in sorted(self.state.places.values())
        ]
        assert not set(self.state.places) & set(self.state.running)

    @invariant()
    def every_explanation_is_true(self) -> None:
        for place in self.state.waiting:
            text = explain(self.state)[place.job.id]
            if never_fits(place.job, self.state.capacity):
                assert text.startswith("can not start: needs ")
            elif place.job == head(self.state):
                assert text.startswith("next in line; needs ")
            else:
                assert "in line; needs" in text
                assert text.startswith("number ")
        for job in self.state.running:
            assert job not in explain(self.state)


Scheduling.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestScheduling: Any = Scheduling.TestCase


@settings(max_examples=100, deadline=None)
@given(jobs=st.lists(st.tuples(DEMANDS, st.integers(1, 3), st.integers(0, 2)), max_size=25))
def test_every_job_that_fits_starts_once_and_all_of_it(jobs: list[tuple[Demand, int, int]]) -> None:
    state = ScheduleState(Capacity(2.0, 16, 1))
    started: list[JobId] = []
    asked = [Job(JobId(str(i)), demand, workers, p) for i, (demand, workers, p) in enumerate(jobs)]
    for job in asked:
        state, decisions = decide(state, Submitted(job))
        started += [decision.job for decision in decisions]
    while state.running:
        state, decisions = decide(state, Withdrawn(next(iter(state.running))))
        started += [decision.job for decision in decisions]
    assert sorted(started) == sorted(job.id for job in asked if not never_fits(job, state.capacity))
    assert state.used == Usage()


@given(st.permutations([0.1] * 10 + [0.2] * 5), st.integers(1, 3))
def test_fractions_of_a_core_fill_it_and_give_it_all_back(cpus: list[float], rounds: int) -> None:
    state = ScheduleState(Capacity(2.0, 0))
    for number in range(rounds):
        for index, cpu in enumerate(cpus):
            state, decisions = decide(state, Submitted(Job(JobId(f"{number}.{index}"), Demand(cpu))))
            assert decisions
        for job in list(state.running):
            state, _ = decide(state, Withdrawn(job))
    assert state.used == Usage()


def test_the_policy_is_a_function_of_the_state() -> None:
    state = ScheduleState(Capacity(1.0, 0)).with_waiting(Job(JobId("a"), Demand(1.0)))
    assert first_come_first_served(state) == first_come_first_served(state) == (Start(JobId("a")),)
