"""The throughput benchmark's findings as Markdown: rates with their ratios, latencies with what they cost.

Ratios are to the best of the peers that are servers, and to the bare application beside them: that one was
written by hand for this one model, so it has nothing of what a server does.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from support.measure import machine

from serving.findings import Findings

ENVOY_GOAL, DIRECT_GOAL = 2.0, 3.0
GOAL_CALLERS = (16, 64)
NOTHING = float("nan")


@dataclass(frozen=True, slots=True)
class Names:
    """Of ours in the findings, and of the bare application."""

    envoy: str
    direct: str
    bare: str


class Tables:
    def __init__(self, findings: Findings, names: Names) -> None:
        self._findings = findings
        self._names = names
        self._ours = [name for name in (names.envoy, names.direct) if name in findings.loads]
        self._servers = [name for name in findings.loads if name not in (*self._ours, names.bare)]
        bare = [names.bare] if names.bare in findings.loads else []
        self._rows = [*self._ours, *self._servers, *bare]
        self._callers = findings.callers()

    def print_all(self, rounds: int, load_before: float) -> None:
        """``load_before`` is what else the machine had to do when it began."""
        self._print_rates()
        self._print_latencies()
        for name, reason in self._findings.missing.items():
            print(f"\n{name} took no part: {reason}")
        self._print_limit()
        self._print_verdicts()
        conditions = f"{rounds} rounds, interleaved; load before: {load_before:.1f}"
        print(f"\n{machine()}; {conditions}. Repeat: `bench/serving/run throughput`")

    def _print_rates(self) -> None:
        print("\n## One image a request: requests a second\n")
        columns = [f" {one} callers | min – max | × best server | × bare |" for one in self._callers]
        print(f"| |{''.join(columns)} idle % |")
        print(f"| --- |{' ---: | ---: | ---: | ---: |' * len(self._callers)} ---: |")
        for name in self._rows:
            idle = self._findings.idle.get(name)
            shown = f"{statistics.median(idle):.0f}" if idle else ""
            print(f"| {name} |{''.join(self._rate_cells(name, one) for one in self._callers)} {shown} |")
        print("\nIdle: percent of one core that all its processes use while nobody asks.")

    def _rate_cells(self, name: str, callers: int) -> str:
        rates = [one.rate for one in self._findings.loads[name].get(callers, [])]
        if not rates:
            return " | | | |"
        rate = statistics.median(rates)
        ratios = (rate / self._best_server(callers), rate / self._bare(callers))
        cells = " | ".join("" if math.isnan(ratio) else f"{ratio:.2f}" for ratio in ratios)
        return f" {rate:,.0f} | {min(rates):,.0f} – {max(rates):,.0f} | {cells} |"

    def _best_server(self, callers: int) -> float:
        """NaN where no server was asked by so many."""
        rates = [self._findings.rate(name, callers) for name in self._servers]
        return max((rate for rate in rates if not math.isnan(rate)), default=NOTHING)

    def _bare(self, callers: int) -> float:
        return self._findings.rate(self._names.bare, callers)

    def _print_latencies(self) -> None:
        print("\n## One image a request: milliseconds, and what an answer costs\n")
        columns = [f" p50 at {one} | p99 | CPU µs |" for one in self._callers]
        print(f"| |{''.join(columns)} failed |")
        print(f"| --- |{' ---: | ---: | ---: |' * len(self._callers)} ---: |")
        for name in self._rows:
            cells = "".join(self._latency_cells(name, one) for one in self._callers)
            print(f"| {name} |{cells} {self._findings.failed(name)} |")
        print("\nCPU: processor time of all the server's processes, an answer.")

    def _latency_cells(self, name: str, callers: int) -> str:
        p50 = self._findings.median(name, callers, lambda load: load.p50)
        p99 = self._findings.median(name, callers, lambda load: load.p99)
        return f" {p50:.2f} | {p99:.2f} | {self._findings.microseconds(name, callers):.0f} |"

    def _print_limit(self) -> None:
        for batch, limits in self._findings.limit.items():
            rate = statistics.median(one.rate for one in limits)
            cost = statistics.median(one.microseconds for one in limits)
            how = "one by one" if batch == 1 else f"in batches of {batch}"
            print(f"\nBare limit, {how}: {rate:,.0f} images/s on two cores, {cost:.0f} CPU µs an image.")
            for name in self._ours:
                reached = max(self._findings.rate(name, one) for one in self._findings.loads[name])
                print(f"{name}: {reached / rate:.0%} of it, with the load generator beside it.")

    def _print_verdicts(self) -> None:
        print()
        for name, goal in ((self._names.envoy, ENVOY_GOAL), (self._names.direct, DIRECT_GOAL)):
            for callers in GOAL_CALLERS:
                rate = self._findings.rate(name, callers)
                against = {"best server": self._best_server(callers), "bare application": self._bare(callers)}
                for other, baseline in against.items():
                    if not math.isnan(rate / baseline):
                        found = f"{rate / baseline:.2f} of the {other} (goal: {goal:g})"
                        print(f"{_verdict(rate / baseline >= goal)}: {name}, {callers} callers: {found}")
        for name in self._ours:
            failed = self._findings.failed(name)
            print(f"{_verdict(not failed)}: {name}: {failed} requests failed (goal: 0)")
        others = [name for name in self._rows if name not in self._ours]
        best = min((self._p50(name) for name in others if not math.isnan(self._p50(name))), default=NOTHING)
        for name in self._ours:
            if not math.isnan(self._p50(name) - best):
                found = f"{self._p50(name):.2f} ms (the best peer's: {best:.2f} ms)"
                print(f"{_verdict(self._p50(name) <= best)}: {name}, p50 of one caller: {found}")

    def _p50(self, name: str) -> float:
        return self._findings.median(name, 1, lambda load: load.p50)


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"
