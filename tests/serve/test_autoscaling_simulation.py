"""What the policy does to simulated requests."""

from __future__ import annotations

import itertools
import random

from argosy.flow.service_options import ScaleMetric, Scaling
from argosy.serve.autoscaling.policy import Bounds
from argosy.serve.autoscaling.simulation import Plant, autoscaled, simulate, static

PLANT = Plant(service_seconds=0.1, start_seconds=0.3, parallel=4)
SCALING = Scaling(target=3.0, stable_window_seconds=20, panic_window_seconds=2, idle_seconds=10)


def arrivals(*phases: tuple[float, float], seed: int = 1) -> list[float]:
    """Poisson arrivals: (seconds, requests a second), one phase after another."""
    source = random.Random(seed)
    times, start = [], 0.0
    for seconds, rate in phases:
        at = start
        while rate and (at := at + source.expovariate(rate)) < start + seconds:
            times.append(at)
        start += seconds
    return times


def test_static_replicas_are_a_queue_with_known_waits() -> None:
    result = simulate([0.0, 0.0, 0.0], Plant(1.0, parallel=1), static(1))
    assert result.latencies == (1.0, 2.0, 3.0)
    assert (result.replica_seconds, result.busy_seconds) == (3.0, 3.0)
    assert simulate([0.0, 0.0], Plant(1.0, parallel=2), static(1)).latencies == (1.0, 1.0)


def test_a_start_from_zero_costs_one_start() -> None:
    plant = Plant(0.1, start_seconds=0.3, initial=0)
    result = simulate([5.0], plant, autoscaled(SCALING, Bounds(0, 4)))
    assert round(result.latencies[0], 6) == 0.4
    assert result.replicas[0] == (0.0, 0)


def test_peaks_are_served_with_less_than_static_replicas_for_the_peak() -> None:
    load = arrivals((60, 2), (30, 100), (60, 2), (30, 100), (60, 2))
    fixed = simulate(load, PLANT, static(4))
    scaled = simulate(load, PLANT, autoscaled(SCALING, Bounds(1, 4)))
    assert len(scaled.latencies) == len(fixed.latencies) == len(load)
    assert scaled.replica_seconds < 0.85 * fixed.replica_seconds
    assert scaled.latency(0.5) < 2 * fixed.latency(0.5)
    assert max(count for _, count in scaled.replicas) >= 4


def test_an_idle_service_has_no_replica_and_its_number_follows_rps_too() -> None:
    load = arrivals((20, 5), (100, 0), (20, 5))
    policy = autoscaled(Scaling(ScaleMetric.RPS, 10.0, idle_seconds=10), Bounds(0, 4))
    result = simulate(load, PLANT, policy, ScaleMetric.RPS)
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(result.replicas) if before[1] == 0]
    assert gaps
    assert max(gaps) > 60
