"""The throughput benchmark's findings as Markdown: one table of rates and ratios, one of latencies."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from support.measure import machine

from serving.findings import Findings

ENVOY_GOAL, DIRECT_GOAL = 2.0, 3.0
GOAL_CALLERS = (16, 64)


def throughput(findings: Findings, envoy: str, direct: str, rounds: int) -> None:
    """Print everything. ``envoy`` and ``direct`` are the names of ours."""
    peers = [name for name in findings.loads if name not in (envoy, direct)]
    rows = [name for name in (envoy, direct, *peers) if name in findings.loads]
    _rates(findings, rows, peers)
    _latencies(findings, rows)
    for name, reason in findings.missing.items():
        print(f"\n{name} took no part: {reason}")
    _limit(findings, envoy, direct)
    _verdicts(findings, peers, envoy, direct)
    print(f"\n{machine()}; {rounds} rounds, interleaved. Repeat: `bench/serving/run throughput`")


def _rates(findings: Findings, rows: Sequence[str], peers: Sequence[str]) -> None:
    callers = findings.callers()
    print("\n## One image a request: requests a second\n")
    print(
        "| |"
        + "".join(f" {one} caller{'s' * (one > 1)} | min – max | × best peer |" for one in callers)
        + " idle % |"
    )
    print("| --- |" + " ---: | ---: | ---: |" * len(callers) + " ---: |")
    for name in rows:
        cells = "".join(_rate_cells(findings, name, one, _best(findings, peers, one)) for one in callers)
        idle = findings.idle.get(name)
        print(f"| {name} |{cells} {f'{statistics.median(idle):.0f}' if idle else ''} |")
    print("\nIdle: percent of one core used while nobody asks.")


def _rate_cells(findings: Findings, name: str, callers: int, best: float) -> str:
    rates = [one.rate for one in findings.loads[name].get(callers, [])]
    if not rates:
        return " | | |"
    median = statistics.median(rates)
    ratio = f"{median / best:.2f}" if best else ""
    return f" {median:,.0f} | {min(rates):,.0f} – {max(rates):,.0f} | {ratio} |"


def _best(findings: Findings, peers: Sequence[str], callers: int) -> float:
    rates = [findings.rate(peer, callers) for peer in peers if callers in findings.loads[peer]]
    return max(rates, default=0.0)


def _latencies(findings: Findings, rows: Sequence[str]) -> None:
    callers = findings.callers()
    print("\n## One image a request: milliseconds\n")
    print("| |" + "".join(f" p50 at {one} | p99 at {one} |" for one in callers) + " failed |")
    print("| --- |" + " ---: | ---: |" * len(callers) + " ---: |")
    for name in rows:
        cells = "".join(
            f" {findings.median(name, one, lambda load: load.p50):.2f} |"
            f" {findings.median(name, one, lambda load: load.p99):.2f} |"
            for one in callers
        )
        print(f"| {name} |{cells} {findings.failed(name)} |")


def _limit(findings: Findings, envoy: str, direct: str) -> None:
    for batch, rates in findings.limit.items():
        rate = statistics.median(rates)
        how = "one by one" if batch == 1 else f"in batches of {batch}"
        print(f"\nBare limit, {how}: {rate:,.0f} images/s on two cores ({rate / 2:,.0f} a core).")
        for name in (envoy, direct):
            reached = max((findings.rate(name, one) for one in findings.loads[name]), default=0.0)
            if reached:
                print(f"{name}: {reached / rate:.0%} of it, with the load generator beside it.")


def _verdicts(findings: Findings, peers: Sequence[str], envoy: str, direct: str) -> None:
    print()
    for name, goal in ((envoy, ENVOY_GOAL), (direct, DIRECT_GOAL)):
        for callers in GOAL_CALLERS:
            best = _best(findings, peers, callers)
            if best and callers in findings.loads[name]:
                ratio = findings.rate(name, callers) / best
                verdict = "met" if ratio >= goal else "MISSED"
                print(f"{verdict}: {name}, {callers} callers: {ratio:.2f} of the best peer (goal: {goal:g})")
    fastest = [findings.median(peer, 1, lambda load: load.p50) for peer in peers if 1 in findings.loads[peer]]
    for name in (envoy, direct):
        if fastest and 1 in findings.loads[name]:
            mine, best = findings.median(name, 1, lambda load: load.p50), min(fastest)
            verdict = "met" if mine <= best else "MISSED"
            print(f"{verdict}: {name}, p50 of one caller: {mine:.2f} ms (the best peer's: {best:.2f} ms)")
