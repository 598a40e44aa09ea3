"""The queue a control plane holds: who starts when, by example."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.schedule.model import Capacity, Demand, Job, JobId
from argosy.schedule.queue import JobQueue


def job(name: str, cpu: float = 1.0, **options: Any) -> Job:
    memory = options.pop("memory", 0)
    return Job(JobId(name), Demand(cpu, memory, options.pop("gpu", 0)), **options)


def queue(cpu: float = 2.0, memory: int = 0, gpu: int = 0) -> JobQueue:
    return JobQueue(Capacity(cpu, memory, gpu))


def test_jobs_start_in_the_order_they_came_while_there_is_room() -> None:
    line = queue()
    for name in "abc":
        line.submit(job(name))
    assert line.take_granted() == ["a", "b"]
    assert line.take_granted() == []
    line.withdraw(JobId("a"))
    assert line.take_granted() == ["c"]


def test_a_higher_priority_goes_first_and_equals_keep_their_order() -> None:
    line = queue(cpu=1.0)
    line.submit(job("first"))
    for name, priority in [("low", 0), ("high", 5), ("higher", 9), ("high too", 5)]:
        line.submit(job(name, priority=priority))
    order = line.take_granted()
    while line.state.running:
        line.withdraw(next(iter(line.state.running)))
        order += line.take_granted()
    assert order == ["first", "higher", "high", "high too", "low"]


def test_a_gang_starts_all_or_none() -> None:
    line = queue(cpu=3.0)
    line.submit(job("a", 2.0))
    line.submit(job("gang", workers=2))
    assert line.take_granted() == ["a"]
    line.withdraw(JobId("a"))
    assert line.take_granted() == ["gang"]
    assert line.state.used.cpu == 2.0


def test_what_has_to_run_again_goes_before_all_that_came_later() -> None:
    line = queue(cpu=1.0)
    for number, name in enumerate(["killed", "next", "last"]):
        line.submit(job(name, arrival=(0.0, number)))
    assert line.take_granted() == ["killed"]
    line.submit(job("killed again", arrival=(0.0, 0)))
    line.withdraw(JobId("killed"))
    assert line.take_granted() == ["killed again"]


def test_nobody_overtakes_the_head_of_the_line() -> None:
    line = queue()
    line.submit(job("running"))
    line.submit(job("large", 2.0))
    line.submit(job("small"))
    assert line.take_granted() == ["running"]


def test_what_can_never_fit_keeps_nobody_out_and_says_so() -> None:
    line = queue(cpu=2.0, memory=2**30)
    line.submit(job("huge", 64.0, memory=2**40))
    line.submit(job("small"))
    assert line.take_granted() == ["small"]
    assert line.explain(JobId("huge")) == (
        "can not start: needs 64 cpu, 1Ti memory, in all there are 2 cpu, 1Gi memory"
    )
    assert not line.fits_ever(job("huge", 64.0))
    line.change_capacity(Capacity(128.0, 2**41))
    assert line.take_granted() == ["huge"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("running", ""),
        ("unknown", ""),
        ("next", "next in line; needs 2 cpu, 3Gi memory, free are 0.5 cpu, 2Gi memory"),
        ("second", "number 2 in line; needs 0.25 cpu"),
        ("third", "number 3 in line; needs 1 gpu"),
    ],
)
def test_a_waiting_job_says_what_it_waits_for(name: str, sentence: str) -> None:
    line = queue(cpu=2.0, memory=4 * 2**30, gpu=2)
    line.submit(job("running", 1.5, memory=2 * 2**30))
    line.submit(job("next", memory=3 * 2**29, workers=2))
    line.submit(job("second", 0.25))
    line.submit(job("third", 0.0, gpu=1))
    assert line.explain(JobId(name)) == sentence


def test_what_was_found_running_holds_its_room_even_beyond_what_there_is() -> None:
    line = queue(cpu=1.0)
    line.adopt(job("a"))
    line.adopt(job("b"))
    line.adopt(job("b"))
    line.submit(job("c"))
    line.withdraw(JobId("a"))
    assert line.take_granted() == []
    line.withdraw(JobId("b"))
    assert line.take_granted() == ["c"]


def test_a_job_in_line_that_is_found_running_leaves_the_line() -> None:
    line = queue(cpu=1.0)
    line.submit(job("a"))
    line.submit(job("b"))
    line.adopt(job("b"))
    assert line.state.waiting == ()


def test_a_grant_that_was_withdrawn_before_it_was_taken_is_not_given() -> None:
    line = queue()
    line.submit(job("a"))
    line.withdraw(JobId("a"))
    assert line.take_granted() == []
    assert line.state.used.cpu == 0.0


def test_a_state_put_back_is_as_it_was() -> None:
    line = queue(cpu=1.0)
    line.submit(job("a"))
    saved = line.state
    line.submit(job("b"))
    line.withdraw(JobId("a"))
    line.state = saved
    line.take_granted()
    assert line.explain(JobId("b")) == ""
    line.withdraw(JobId("a"))
    assert line.take_granted() == []


def test_a_job_may_ask_for_nothing() -> None:
    line = queue(cpu=1.0)
    line.submit(job("a"))
    line.submit(job("free", 0.0))
    assert line.take_granted() == ["a", "free"]
