"""Ten times as many requests as can be answered: what is still answered, how fast the rest is refused.

    bench/serving/run overload [--seconds 10] [--queue 2] [--loads 0.5,1,2,5,10]

A slow model on two replicas, two images a request, through Envoy. Capacity is what callers that wait for
each answer reach. Then requests arrive in an open loop, at each multiple of it in turn, from a process of
their own. On two cores everything counts: what refusing and asking cost is missing from the goodput.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from support.measure import machine

from argosy.flow.service_options import Batching, ServiceOptions
from serving import inputs
from serving.load import Load, bodies_file, load
from serving.open_loop import Outcome, Plan, milliseconds, run
from serving.support import start_ours

REPLICAS = 2
CALLERS = 8
IMAGES_A_REQUEST = 2
GOODPUT_GOAL, REFUSAL_GOAL_MILLISECONDS, LATENCY_GOAL = 0.9, 10.0, 4.0


@dataclass(frozen=True, slots=True)
class Step:
    """One multiple of the capacity, and what came of it."""

    multiple: float
    outcome: Outcome

    @property
    def p99(self) -> float:
        return milliseconds(self.outcome.latency[self.outcome.accepted], 99)

    @property
    def refusal_p99(self) -> float:
        return milliseconds(self.outcome.latency[self.outcome.refused], 99)


@dataclass(frozen=True, slots=True)
class Found:
    """One caller that waits for each answer, as many as reach the capacity, and every multiple of that."""

    unloaded: Load
    peak: Load
    steps: list[Step]

    @property
    def best(self) -> float:
        """The highest goodput seen, requests a second."""
        return max([self.peak.rate, *(step.outcome.goodput() for step in self.steps)])


def measure(arguments: argparse.Namespace) -> Found:
    file = bodies_file(inputs.bodies_of_several(IMAGES_A_REQUEST), f"json-{IMAGES_A_REQUEST}")
    batching = Batching(max_batch_size=IMAGES_A_REQUEST, queue_requests=arguments.queue)
    with start_ours(
        inputs.slow_model(), REPLICAS, REPLICAS, options=ServiceOptions(batching=batching)
    ) as ours:
        load([ours.url], file, CALLERS, 1.0)
        unloaded = load([ours.url], file, 1, arguments.seconds)
        peak = load([ours.url], file, CALLERS, arguments.seconds)
        steps = []
        for multiple in map(float, arguments.loads.split(",")):
            stages = [(arguments.seconds, multiple * peak.rate)]
            steps.append(Step(multiple, run(Plan(ours.url, str(file), stages))))
        return Found(unloaded, peak, steps)


def print_table(found: Found) -> None:
    unloaded, peak = found.unloaded, found.peak
    print("\n## Overload\n")
    print(f"Unloaded: one caller, p50 {unloaded.p50:.1f} ms, p99 {unloaded.p99:.1f} ms.")
    print(f"Capacity: {peak.rate:,.0f} requests/s, {CALLERS} callers that wait for each answer.\n")
    accepted = ("goodput /s", "of peak", "p50 ms", "p99 ms", "× unloaded p99")
    columns = ("load", *accepted, "refused", "p50 ms", "p99 ms")
    print(f"| {' | '.join(columns)} |")
    print("| --- |" + " ---: |" * 8)
    for step in found.steps:
        print(_row(step, found.best, unloaded.p99))
    late = ", ".join(
        f"{milliseconds(one.outcome.late, 99):.1f} ms at {one.multiple:g} ×" for one in found.steps
    )
    print(f"\nThe generator itself was late by (p99): {late}.")
    _verdicts(found.steps[-1], found.best, unloaded.p99)
    print(f"\n{machine()}. Repeat: `bench/serving/run overload`")


def _row(step: Step, best: float, unloaded_p99: float) -> str:
    found = step.outcome
    accepted, refused = found.latency[found.accepted], found.latency[found.refused]
    failed = f" (+ {found.failed} failed)" if found.failed else ""
    return (
        f"| {step.multiple:g} × | {found.goodput():,.0f} | {found.goodput() / best:.0%} "
        f"| {milliseconds(accepted, 50):.1f} | {step.p99:.1f} | {step.p99 / unloaded_p99:.1f} "
        f"| {len(refused):,}{failed} | {milliseconds(refused, 50):.1f} | {step.refusal_p99:.1f} |"
    )


def _verdicts(worst: Step, best: float, unloaded_p99: float) -> None:
    goodput, ratio = worst.outcome.goodput() / best, worst.p99 / unloaded_p99
    refusals = worst.refusal_p99
    for name, text, met in (
        ("goodput", f"{goodput:.0%} of the peak (goal: {GOODPUT_GOAL:.0%})", goodput >= GOODPUT_GOAL),
        (
            "refusals",
            f"p99 {refusals:.1f} ms (goal: {REFUSAL_GOAL_MILLISECONDS:g} ms)",
            math.isnan(refusals) or refusals < REFUSAL_GOAL_MILLISECONDS,
        ),
        (
            "p99 of the accepted",
            f"{ratio:.1f} × the unloaded p99 (goal: {LATENCY_GOAL:g})",
            ratio < LATENCY_GOAL,
        ),
        ("neither answered nor refused", f"{worst.outcome.failed} (goal: 0)", worst.outcome.failed == 0),
    ):
        print(f"{'met' if met else 'MISSED'}: at {worst.multiple:g} × capacity, {name}: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--queue", type=int, default=2, help="requests that may wait in a replica")
    parser.add_argument("--loads", default="0.5,1,2,5,10", help="multiples of the capacity")
    print_table(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
