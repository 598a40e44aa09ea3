"""From zero to the first answer: an event-driven service is left until it has no replica, then asked once.

    bench/serving/run cold_start [--starts 100] [--idle 1]

The request waits until a replica answers it; that it failed or was refused is counted and never repeated. A
pause after each end lets the pool of warm processes fill again.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from support.measure import machine

from argosy.flow.service_options import Scaling, ServiceOptions, Strategy
from serving import inputs
from serving.answers import TOLERANCE, Client, probabilities
from serving.support import Ours, start_ours

GOAL_MILLISECONDS = 300.0
REFILL_SECONDS = 0.5


@dataclass(slots=True)
class ColdStarts:
    """Milliseconds of every answer, from zero replicas and from a warm one; what failed, with its reason."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def measure(starts: int, idle: float) -> ColdStarts:
    options = ServiceOptions(strategy=Strategy.EVENT, scaling=Scaling(idle_seconds=idle))
    found = ColdStarts()
    with start_ours(inputs.plain_model(), 0, 1, options=options) as ours:
        for number in range(1, starts + 1):
            ours.wait_for_none()
            time.sleep(REFILL_SECONDS)
            _ask_twice(ours, number, found)
            print(f"  start {number} of {starts}", end="\r", file=sys.stderr, flush=True)
    print(end="\033[K", file=sys.stderr, flush=True)
    return found


def _ask_twice(ours: Ours, number: int, found: ColdStarts) -> None:
    bodies, expected = inputs.bodies(), inputs.expected(inputs.plain_model())
    at = number % len(bodies)
    client = Client(ours.url)
    try:
        for milliseconds in (found.cold, found.warm):
            start = time.perf_counter()
            status, answer = client.post(bodies[at])
            taken = 1000 * (time.perf_counter() - start)
            if status != 200:
                raise RuntimeError(f"{status}: {answer[:200].decode(errors='replace')}")
            if not np.abs(probabilities(answer)[0] - expected[at]).max() <= TOLERANCE:
                raise RuntimeError("the answer is wrong")
            milliseconds.append(taken)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        found.failures.append(f"start {number}: {error}")
    finally:
        client.close()


def print_table(found: ColdStarts) -> None:
    print("\n## From zero to the first answer\n")
    print("| | answers | p50 ms | p95 ms | longest ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, values in (("from zero replicas", found.cold), ("the next, from a warm one", found.warm)):
        if values:
            p50, p95 = np.percentile(values, [50, 95])
            print(f"| {name} | {len(values)} | {p50:.1f} | {p95:.1f} | {max(values):.1f} |")
    print()
    p95 = float(np.percentile(found.cold, 95)) if found.cold else float("inf")
    verdict = "met" if p95 <= GOAL_MILLISECONDS else "MISSED"
    print(f"{verdict}: p95 of cold starts {p95:.0f} ms (goal: {GOAL_MILLISECONDS:g} ms)")
    print(f"{'MISSED' if found.failures else 'met'}: {len(found.failures)} requests failed (goal: 0)")
    for reason in found.failures[:5]:
        print(f"  {reason}")
    print(f"\n{machine()}. Repeat: `bench/serving/run cold_start`")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument(
        "--idle", type=float, default=1.0, help="seconds without a request that end a replica"
    )
    arguments = parser.parse_args()
    print_table(measure(arguments.starts, arguments.idle))


if __name__ == "__main__":
    main()
