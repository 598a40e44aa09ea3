"""What a replica counts, as plain numbers, and how Prometheus reads them."""

from __future__ import annotations

import os
import resource
from bisect import bisect_left
from collections.abc import Iterable, Sequence

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> Iterable[str]:
        count = 0
        for bound, here in zip((*self.bounds, None), self.counts, strict=True):
            count += here
            le = "+Inf" if bound is None else f"{float(bound)}"
            yield f'{name}_bucket{{{labels},le="{le}"}} {count}'
        yield f"{name}_sum{{{labels}}} {self.total!r}"
        yield f"{name}_count{{{labels}}} {count}"


class Metrics:
    """Requests are inference requests, by any protocol; ``statuses`` counts them by their HTTP status."""

    def __init__(self, model: str, version: int) -> None:
        self.labels = f'model_name="{_escaped(model)}",model_version="{version}"'
        self.statuses: dict[int, int] = {}
        self.seconds = Histogram(SECONDS)
        self.waits = Histogram(SECONDS)
        self.rows = Histogram(ROWS)
        self.in_flight = 0

    def answered(self, status: int, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.seconds.observe(seconds)

    def batch(self, rows: int, waits: Sequence[float]) -> None:
        self.rows.observe(rows)
        for wait in waits:
            self.waits.observe(wait)

    def exposition(self, queued: int) -> bytes:
        """Everything, in Prometheus' text format."""
        lines: list[str] = []
        self._counters(lines)
        for name, text, histogram in (
            ("argosy_request_seconds", "From a request's head to its answer.", self.seconds),
            ("argosy_queue_wait_seconds", "From a request's end to its batch.", self.waits),
            ("argosy_batch_rows", "Model inputs in a batch.", self.rows),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
            lines += histogram.lines(name, self.labels)
        for name, text, value in (
            ("argosy_queue_requests", "Requests that wait for a batch.", queued),
            ("argosy_in_flight_requests", "Inference requests without an answer yet.", self.in_flight),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name}{{{self.labels}}} {value}"]
        lines += _process_lines()
        return ("\n".join(lines) + "\n").encode()

    def _counters(self, lines: list[str]) -> None:
        lines.append("# HELP argosy_requests_total Inference requests by outcome.")
        lines.append("# TYPE argosy_requests_total counter")
        for status, count in sorted(self.statuses.items()):
            labels = f'{self.labels},status="{status}",outcome="{_outcome(status)}"'
            lines.append(f"argosy_requests_total{{{labels}}} {count}")


def _outcome(status: int) -> str:
    if status < 400:
        return "success"
    if status == 499:
        return "gone"
    if status == 429:
        return "refused"
    return "invalid" if status < 500 else "failed"


def _process_lines() -> list[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return [
        "# HELP process_cpu_seconds_total User and system time.",
        "# TYPE process_cpu_seconds_total counter",
        f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime!r}",
        "# HELP process_resident_memory_bytes Resident memory.",
        "# TYPE process_resident_memory_bytes gauge",
        f"process_resident_memory_bytes {resident}",
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
