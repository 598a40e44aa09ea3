"""Spiky traffic, autoscaled and with static allocations: what each uses, and what callers wait.

    bench/serving/run spikes [--seconds 120] [--most 4] [--plot docs/serving_spikes.svg]

A quiet base with two peaks, a day's shape replayed within ``--seconds``, in an open loop through Envoy. The
same requests go to one replica, to as many as there may be at most, and to a service that is scaled between
the two by concurrency, one after another.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.measure import machine

from argosy.flow.service_options import Batching, Scaling, ServiceOptions
from serving import inputs
from serving.load import bodies_file, load
from serving.open_loop import Outcome, Plan, milliseconds, started
from serving.spike_plot import draw
from serving.support import Usage, UsageWatch, start_ours

STEPS = 60
LOOK_SECONDS = 0.25
# Shares of the capacity of this machine: (height, middle and width in shares of the whole time).
BASE = 0.08
PEAKS = ((0.75, 0.30, 0.045), (0.60, 0.70, 0.06))


@dataclass(frozen=True, slots=True)
class Allocation:
    name: str
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Trial:
    allocation: Allocation
    outcome: Outcome
    usage: Usage


def stages(seconds: float, capacity: float) -> list[tuple[float, float]]:
    """(seconds, requests a second) of each step."""
    length = seconds / STEPS
    return [(length, capacity * _share((number + 0.5) / STEPS)) for number in range(STEPS)]


def _share(at: float) -> float:
    peaks = (height * math.exp(-(((at - middle) / width) ** 2) / 2) for height, middle, width in PEAKS)
    return BASE + sum(peaks)


def options(seconds: float) -> ServiceOptions:
    """The autoscaler's windows, shortened like the day is."""
    stable = max(2.0, seconds / 20)
    scaling = Scaling(target=2.0, stable_window_seconds=stable, panic_window_seconds=max(1.0, stable / 6))
    return ServiceOptions(scaling=scaling, batching=Batching(max_batch_size=4))


def trial(allocation: Allocation, plan_stages: list[tuple[float, float]], seconds: float) -> Trial:
    bodies = bodies_file(inputs.bodies(), "json")
    with start_ours(inputs.slow_model(), allocation.least, allocation.most, options=options(seconds)) as ours:
        watch = UsageWatch(ours)
        watch.look()
        with started(Plan(ours.url, str(bodies), plan_stages)) as running:
            while not running.ended:
                time.sleep(LOOK_SECONDS)
                watch.look()
            return Trial(allocation, running.outcome(), watch.usage())


def capacity() -> float:
    """Requests a second that two replicas answer at most."""
    with start_ours(inputs.slow_model(), 2, 2, options=options(60.0)) as ours:
        return load([ours.url], bodies_file(inputs.bodies(), "json"), 8, 4.0).rate


def measure(arguments: argparse.Namespace) -> list[Trial]:
    plan_stages = stages(arguments.seconds, arguments.capacity or capacity())
    most = arguments.most
    allocations = (
        Allocation("static, 1 replica", 1, 1),
        Allocation(f"static, {most} replicas", most, most),
        Allocation(f"autoscaled, 1 to {most}", 1, most),
    )
    return [trial(one, plan_stages, arguments.seconds) for one in allocations]


def print_table(trials: list[Trial]) -> None:
    print("\n## Spiky traffic\n")
    print(
        "| | replica-seconds | × most | CPU-seconds | p50 ms | p99 ms | p99 in peaks ms | refused | failed |"
    )
    print("| --- |" + " ---: |" * 8)
    most = max(one.usage.replica_seconds for one in trials)
    for one in trials:
        print(_row(one, most))
    seconds, rates = zip(*trials[0].outcome.stages, strict=True)
    requests = len(trials[0].outcome.due)
    print(f"\n{requests:,} requests in {sum(seconds):.0f} s, {min(rates):.0f} to {max(rates):.0f}/s.")
    print(f"\n{machine()}. Repeat: `bench/serving/run spikes`")


def _row(one: Trial, most: float) -> str:
    found, usage = one.outcome, one.usage
    accepted = found.latency[found.accepted]
    peak = found.latency[found.accepted & in_peaks(found)]
    return (
        f"| {one.allocation.name} | {usage.replica_seconds:.0f} | {usage.replica_seconds / most:.2f} "
        f"| {usage.cpu_seconds:.1f} | {milliseconds(accepted, 50):.1f} | {milliseconds(accepted, 99):.1f} "
        f"| {milliseconds(peak, 99):.1f} | {int(found.refused.sum()):,} | {found.failed:,} |"
    )


def in_peaks(found: Outcome) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which requests were due while the rate was over half of the highest."""
    seconds, rates = (np.asarray(one) for one in zip(*found.stages, strict=True))
    at = np.minimum(np.searchsorted(np.cumsum(seconds), found.due, side="right"), len(rates) - 1)
    return np.asarray(rates[at] > rates.max() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each of the three replays")
    parser.add_argument("--most", type=int, default=4, help="replicas at most")
    parser.add_argument("--capacity", type=float, default=0.0, help="requests/s; measured when not given")
    parser.add_argument("--plot", type=Path, default=Path("docs/serving_spikes.svg"))
    arguments = parser.parse_args()
    trials = measure(arguments)
    print_table(trials)
    draw(
        [(one.allocation.name, one.outcome, one.usage.replicas) for one in trials],
        arguments.plot,
    )
    print(f"Plot: {arguments.plot}")


if __name__ == "__main__":
    main()
