"""How many replicas follow from a load, whatever the load does."""

from __future__ import annotations

import math
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.flow.service_options import ScaleMetric, Scaling
from argosy.serve.autoscaling.policy import Bounds, Decision, Sample, ScalerState, decide

SCALING = Scaling(target=8.0, stable_window_seconds=60, panic_window_seconds=6, idle_seconds=30)

scalings = st.builds(
    Scaling,
    metric=st.sampled_from(ScaleMetric),
    target=st.floats(0.5, 100),
    stable_window_seconds=st.floats(6, 120),
    panic_window_seconds=st.floats(1, 6),
    panic_threshold=st.floats(1.1, 10),
    idle_seconds=st.floats(0, 60),
)
bounds_of = st.tuples(st.integers(0, 5), st.integers(1, 10)).map(lambda two: Bounds(two[0], two[0] + two[1]))
loads = st.floats(0, 5000)
samples = st.builds(Sample, loads, st.booleans(), st.integers(0, 20))


def run(
    series: list[tuple[float, Sample]], scaling: Scaling, bounds: Bounds, state: ScalerState | None = None
) -> tuple[ScalerState, list[Decision]]:
    state = state or ScalerState()
    decisions = []
    for time, sample in series:
        state, decision = decide(state, sample, scaling, bounds, time)
        decisions.append(decision)
    return state, decisions


def every_second(load: list[float], ready: int = 1) -> list[tuple[float, Sample]]:
    return [(1000.0 + second, Sample(one, one > 0, ready)) for second, one in enumerate(load)]


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), samples), min_size=1, max_size=40), scalings, bounds_of)
def test_it_is_never_outside_the_bounds_and_always_says_why_whatever_the_clock_does(
    series: list[tuple[float, Sample]], scaling: Scaling, bounds: Bounds
) -> None:
    _, decisions = run(series, scaling, bounds)
    assert all(bounds.least <= one.desired <= bounds.most and one.reason for one in decisions)


@given(st.lists(st.tuples(loads, loads, st.integers(1, 9)), min_size=1, max_size=90), scalings, bounds_of)
def test_more_load_never_asks_for_fewer_replicas(
    series: list[tuple[float, float, int]], scaling: Scaling, bounds: Bounds
) -> None:
    less = [(float(at), Sample(min(a, b), True, ready)) for at, (a, b, ready) in enumerate(series)]
    more = [(float(at), Sample(max(a, b), True, ready)) for at, (a, b, ready) in enumerate(series)]
    pairs = zip(run(less, scaling, bounds)[1], run(more, scaling, bounds)[1], strict=True)
    assert all(fewer.desired <= other.desired for fewer, other in pairs)


@given(st.floats(0.1, 500), scalings, bounds_of)
def test_a_constant_load_gets_as_many_as_it_needs_and_no_change_after_that(
    load: float, scaling: Scaling, bounds: Bounds
) -> None:
    state, ready, seen = ScalerState(), 1, []
    for second in range(300):
        state, decision = decide(state, Sample(load, True, ready), scaling, bounds, float(second))
        ready = max(1, decision.desired)
        seen.append(decision.desired)
    needed = max(1, bounds.least, min(bounds.most, math.ceil(load / scaling.target - 1e-9)))
    assert seen[10:] == [needed] * 290


@given(st.integers(1, 8), st.floats(2, 9), scalings)
@settings(max_examples=200)
def test_a_sudden_load_is_answered_within_one_sample(ready: int, times: float, scaling: Scaling) -> None:
    bounds = Bounds(1, 1000)
    state, _ = run(every_second([0.1 * scaling.target] * 60, ready), scaling, bounds)
    load = max(times, scaling.panic_threshold + 1) * ready * scaling.target
    _, (decision,) = run([(1060.0, Sample(load, True, ready))], scaling, bounds, state)
    assert decision.desired >= min(10 * ready, math.floor(load / scaling.target))
    assert "suddenly" in decision.reason


@given(st.lists(samples, min_size=1, max_size=60), scalings, bounds_of)
def test_the_number_that_a_reason_gives_follows_from_the_load_that_it_gives(
    series: list[Sample], scaling: Scaling, bounds: Bounds
) -> None:
    for decision in run(list(enumerate(series)), scaling, bounds)[1]:
        found = re.match(r"(\S+) .*, (\S+) a replica: (\d+) needed", decision.reason)
        if found is None:
            assert decision.reason.startswith("no request for")
            continue
        load, target, needed = float(found[1]), float(found[2]), int(found[3])
        # Loads are told to three digits, targets to six.
        assert abs(load / target - needed) <= 1 + 0.006 * load / target


def test_in_a_panic_the_reason_tells_what_is_needed_now_beside_what_stays() -> None:
    _, decisions = run(every_second([1.0] * 30 + [80.0] + [16.0] * 20, ready=2), SCALING, Bounds(1, 100))
    first, last = decisions[30], decisions[-1]
    assert first.reason == "80 requests under way or refused came suddenly to 2 ready, 8 a replica: 10 needed"
    assert (first.desired, last.desired) == (10, 10)
    now = "16 requests under way or refused now, 8 a replica: 2 needed"
    assert last.reason.startswith(f"{now}; a sudden load needed 10, which stay until")


def test_nothing_shrinks_in_a_panic_and_it_does_a_stable_window_later() -> None:
    bounds = Bounds(1, 100)
    _, decisions = run(every_second([80.0] * 5 + [1.0] * 54, ready=2), SCALING, bounds)
    assert {one.desired for one in decisions} == {10}
    _, decisions = run(every_second([80.0] * 5 + [1.0] * 200, ready=10), SCALING, bounds)
    counts = [one.desired for one in decisions]
    assert counts[-1] == 5  # half of those there, at most, at once
    assert "at most half of the 10" in decisions[-1].reason


def test_not_more_than_ten_times_as_many_start_at_once() -> None:
    _, (decision,) = run(every_second([8000.0], ready=2), SCALING, Bounds(1, 1000))
    assert decision.desired == 20


def test_the_last_replica_ends_when_nobody_asked_for_long_enough_and_not_before() -> None:
    bounds = Bounds(0, 4)
    _, decisions = run(every_second([8.0] + [0.0] * 40), SCALING, bounds)
    counts = [one.desired for one in decisions]
    assert counts == [1] * 30 + [0] * 11
    assert decisions[-1].reason == "no request for 30 s"
    assert "the last one ends after 10 s more without a request" in decisions[20].reason


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), min_size=1, max_size=80), scalings)
def test_it_is_never_zero_while_a_request_is_under_way_or_waits(
    series: list[tuple[float, bool]], scaling: Scaling
) -> None:
    at = 0.0
    state = ScalerState()
    for gap, busy in series:
        at += gap
        state, decision = decide(state, Sample(float(busy), busy, 1), scaling, Bounds(0, 4), at)
        assert decision.desired or not busy


def test_a_request_to_nothing_asks_for_one_at_once() -> None:
    state, _ = run(every_second([0.0] * 60, ready=0), SCALING, Bounds(0, 4))
    _, (decision,) = run([(1060.0, Sample(1.0, True, 0))], SCALING, Bounds(0, 4), state)
    assert decision.desired == 1


def test_a_clock_that_jumps_or_a_machine_that_slept_is_no_idle_hour() -> None:
    state, _ = run(every_second([8.0] * 10), SCALING, Bounds(0, 4))
    for jump in (86_400.0, -86_400.0):
        _, (decision,) = run([(1010.0 + jump, Sample(0.0, False, 1))], SCALING, Bounds(0, 4), state)
        assert decision.desired == 1


@given(scalings)
def test_it_comes_to_zero_when_nobody_asks(scaling: Scaling) -> None:
    _, decisions = run(every_second([50.0] * 5 + [0.0] * 200), scaling, Bounds(0, 4))
    assert decisions[-1].desired == 0
