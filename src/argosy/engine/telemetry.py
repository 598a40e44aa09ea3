"""What running attempts say of themselves: the newest of it at hand, all of it written in batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from argosy.metadata.records import MetricRecord, Record, SampleRecord
from argosy.runtime.protocol import Reported, Sampled

# Beyond this many unwritten rows (the store is full or gone) the oldest are dropped: telemetry never
# takes the control plane down with it.
_BACKLOG = 50_000


@dataclass(slots=True)
class LiveProgress:
    """The newest numbers of one attempt: the chief's, with ``examples_per_second`` summed over ranks."""

    epoch: int | None = None
    step: int | None = None
    done: float | None = None
    total: float | None = None
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)


class Telemetry:
    """Takes reports and samples of any attempt; hands out rows to write and progress to show."""

    def __init__(self) -> None:
        self._live: dict[str, LiveProgress] = {}
        self._rows: list[Record] = []

    def progress(self, attempt: str) -> LiveProgress | None:
        return self._live.get(attempt)

    def forget(self, attempt: str) -> None:
        self._live.pop(attempt, None)

    def take_rows(self) -> list[Record]:
        rows, self._rows = self._rows, []
        return rows

    def put_back(self, rows: list[Record]) -> None:
        self._rows = (rows + self._rows)[-_BACKLOG:]

    def sampled(self, event: Sampled) -> None:
        self._rows.append(SampleRecord(event.attempt, event.rank, event.time, event.cpu, event.memory))

    def reported(self, event: Reported) -> None:
        live = self._live.setdefault(event.attempt, LiveProgress())
        if event.kind == "metrics":
            self._metrics(live, event)
        elif event.kind == "progress" and event.rank == 0:
            live.done = _number(event.body.get("done"))
            live.total = _number(event.body.get("total"))
            live.message = str(event.body.get("message", ""))
        elif event.kind == "event" and event.rank == 0:
            live.message = str(event.body.get("message", live.message))

    def _metrics(self, live: LiveProgress, event: Reported) -> None:
        step, epoch = event.body.get("step"), event.body.get("epoch")
        values: Mapping[str, Any] = event.body.get("values") or {}
        numbers = {name: n for name, value in values.items() if (n := _number(value)) is not None}
        if not isinstance(step, int):
            return
        self._rows.extend(
            MetricRecord(event.attempt, event.rank, name, step, value, event.time, epoch)
            for name, value in numbers.items()
        )
        if "examples_per_second" in numbers:
            live.rates[event.rank] = numbers.pop("examples_per_second")
            live.metrics["examples_per_second"] = sum(live.rates.values())
        if event.rank == 0:
            live.step, live.epoch = step, epoch
            live.metrics.update(numbers)


def _number(value: Any) -> float | None:
    # A NaN has no JSON; a loss that is not finite ends the attempt with an error of its own.
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
