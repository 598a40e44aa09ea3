"""What the throughput benchmark found."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from serving.bare_limit import Limit
from serving.load import Load


@dataclass(slots=True)
class Findings:
    """Every round's loads by server and callers, and microseconds of processor time an answer; idle percent
    by server; why a peer is missing; the bare limit on two cores by batch size."""

    loads: dict[str, dict[int, list[Load]]] = field(default_factory=lambda: defaultdict(dict))
    cost: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, str] = field(default_factory=dict)
    limit: dict[int, list[Limit]] = field(default_factory=lambda: defaultdict(list))

    def add(self, server: str, callers: int, found: Load, microseconds: float) -> None:
        self.loads[server].setdefault(callers, []).append(found)
        self.cost[server, callers].append(microseconds / max(1, found.requests))

    def callers(self) -> list[int]:
        return sorted({callers for by_callers in self.loads.values() for callers in by_callers})

    def median(self, server: str, callers: int, of: Callable[[Load], float]) -> float:
        """NaN where the server was not asked by so many."""
        values = [of(one) for one in self.loads[server].get(callers, [])]
        return statistics.median(values) if values else float("nan")

    def rate(self, server: str, callers: int) -> float:
        return self.median(server, callers, lambda one: one.rate)

    def microseconds(self, server: str, callers: int) -> float:
        """Median processor time an answer; NaN where the server was not asked by so many."""
        return statistics.median(self.cost.get((server, callers), [float("nan")]))

    def failed(self, server: str) -> int:
        return sum(one.failed for loads in self.loads[server].values() for one in loads)
