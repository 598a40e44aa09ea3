"""Rounds that alternate between the things compared, and a table of what they took."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Measurement = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured: every round's number, and what it should not exceed (None: a baseline)."""

    name: str
    values: Sequence[float]
    target: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(
    measurements: Mapping[str, Measurement], rounds: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """``rounds`` numbers of each, taken in turns, so that a slow minute of the machine hits all alike.

    With ``warm_up``, one more round before them warms caches and is dropped.
    """
    taken: dict[str, list[float]] = {name: [] for name in measurements}
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, measure in measurements.items():
            value = measure()
            if number:
                taken[name].append(value)
        print(f"  round {number} of {rounds}", end="\r", file=sys.stderr, flush=True)
    print(end="\033[K", file=sys.stderr, flush=True)
    return taken


def report(title: str, unit: str, rows: Sequence[Row], baseline: str, repeat: str) -> None:
    """Median, smallest and largest of every row, its ratio to the baseline's median, and its target."""
    base = next(row.median for row in rows if row.name == baseline)
    print(f"\n## {title}\n")
    print(f"| | median {unit} | min – max | × {baseline} | target |")
    print("| --- | ---: | ---: | ---: | --- |")
    for row in rows:
        spread = f"{min(row.values):.3g} – {max(row.values):.3g}"
        print(
            f"| {row.name} | {row.median:.3g} | {spread} | {row.median / base:.2f} | {_verdict(row, unit)} |"
        )
    print(f"\n{machine()}; {len(rows[0].values)} rounds, interleaved. Repeat: `{repeat}`")


def _verdict(row: Row, unit: str) -> str:
    if row.target is None:
        return ""
    return f"{'met' if row.median <= row.target else 'MISSED'}: ≤ {row.target:g} {unit}"


def machine() -> str:
    """What the figures were taken on, for the line below a table."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{cores} cores, {memory:.0f} GiB, Python {platform.python_version()}, Linux {platform.release()}"
