"""Ten times as many requests as can be answered: what is still answered, how fast the rest is refused.

    bench/serving/run overload [--seconds 10] [--queue 8] [--loads 0.5,1,2,5,10]

A slow model on two replicas, through Envoy. Capacity is what callers that wait for each answer reach. Then
requests arrive in an open loop, at each multiple of it in turn, from a process of their own.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from support.measure import machine

from argosy.flow.service_options import Batching, ServiceOptions
from serving import inputs
from serving.load import Load, bodies_file, load
from serving.open_loop import Outcome, Plan, milliseconds, run
from serving.support import Ours, start_ours

REPLICAS = 2
CALLERS = 8
UNLOADED = 0.1
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


def capacity(ours: Ours, bodies: Path, seconds: float) -> Load:
    """What as many callers as the queues hold reach, each waiting for its answer."""
    load([ours.url], bodies, CALLERS, 1.0)
    return load([ours.url], bodies, CALLERS, seconds)


def measure(arguments: argparse.Namespace) -> tuple[Load, Step, list[Step]]:
    """The closed-loop capacity, the unloaded service, and every multiple."""
    bodies = bodies_file(inputs.bodies(), "json")
    options = ServiceOptions(batching=Batching(max_batch_size=4, queue_requests=arguments.queue))
    with start_ours(inputs.slow_model(), REPLICAS, REPLICAS, options=options) as ours:
        peak = capacity(ours, bodies, arguments.seconds)

        def step(multiple: float) -> Step:
            stages = [(arguments.seconds, multiple * peak.rate)]
            return Step(multiple, run(Plan(ours.url, str(bodies), stages)))

        unloaded = step(UNLOADED)
        return peak, unloaded, [step(float(one)) for one in arguments.loads.split(",")]


def print_table(peak: Load, unloaded: Step, steps: list[Step]) -> None:
    print("\n## Overload\n")
    print(f"Capacity: {peak.rate:,.0f} requests/s, {CALLERS} callers that wait for each answer.\n")
    accepted = ("goodput /s", "of peak", "p50 ms", "p99 ms", "× unloaded p99")
    columns = ("load", *accepted, "refused", "p50 ms", "p99 ms")
    print(f"| {' | '.join(columns)} |")
    print("| --- |" + " ---: |" * 8)
    best = max([peak.rate, *(step.outcome.goodput() for step in steps)])
    for step in [unloaded, *steps]:
        print(_row(step, best, unloaded.p99))
    late = ", ".join(f"{milliseconds(one.outcome.late, 99):.1f} ms at {one.multiple:g} ×" for one in steps)
    print(f"\nThe generator itself was late by (p99): {late}.")
    _verdicts(steps[-1], best, unloaded.p99)
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
    parser.add_argument("--queue", type=int, default=8, help="requests that may wait in a replica")
    parser.add_argument("--loads", default="0.5,1,2,5,10", help="multiples of the capacity")
    print_table(*measure(parser.parse_args()))


if __name__ == "__main__":
    main()
