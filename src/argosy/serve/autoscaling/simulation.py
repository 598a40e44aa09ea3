"""What a scaling policy would do to a stream of requests: latencies and resources, without a process.

A discrete-event simulation of one member: requests queue in order, each ready replica works on
``parallel`` at a time, a new one takes ``start_seconds``, and one that is let go finishes what it has.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from argosy.flow.service_options import ScaleMetric, Scaling
from argosy.serve.autoscaling.policy import Bounds, Sample, ScalerState, decide

Policy = Callable[[Sample, float], int]


@dataclass(frozen=True, slots=True)
class Plant:
    """What is simulated. ``service_seconds`` is how long one request takes."""

    service_seconds: float
    start_seconds: float = 0.3
    parallel: int = 1
    tick_seconds: float = 1.0
    initial: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """``latencies`` in the order of arrival; ``replicas`` are (time, number there) at each change;
    ``replica_seconds`` is the area under them, ``busy_seconds`` what of it was work."""

    latencies: tuple[float, ...]
    replicas: tuple[tuple[float, int], ...]
    replica_seconds: float
    busy_seconds: float

    def latency(self, quantile: float) -> float:
        """Seconds, by nearest rank."""
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(quantile * len(ranked)))]


def autoscaled(scaling: Scaling, bounds: Bounds) -> Policy:
    """The policy services have. Only the metrics that requests make: concurrency and rps."""
    state = ScalerState()

    def policy(sample: Sample, time: float) -> int:
        nonlocal state
        state, decision = decide(state, sample, scaling, bounds, time)
        return decision.desired

    return policy


def static(replicas: int) -> Policy:
    """As many all the time."""
    return lambda sample, time: replicas


def simulate(
    arrivals: Iterable[float],
    plant: Plant,
    policy: Policy,
    metric: ScaleMetric = ScaleMetric.CONCURRENCY,
) -> Result:
    """Serve ``arrivals`` (seconds, ascending) to the last one."""
    run = _Run(plant, policy, metric, tuple(arrivals))
    return run.result()


@dataclass(slots=True)
class _Run:
    plant: Plant
    policy: Policy
    metric: ScaleMetric
    arrivals: tuple[float, ...]
    time: float = 0.0
    ready: int = 0
    starting: int = 0
    leaving: int = 0
    working: int = 0
    came: int = 0
    queue: deque[tuple[int, float]] = field(default_factory=deque)
    latencies: dict[int, float] = field(default_factory=dict)
    history: list[tuple[float, int]] = field(default_factory=list)
    replica_seconds: float = 0.0
    busy_seconds: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def result(self) -> Result:
        self.ready = self.plant.initial
        self.history.append((0.0, self.ready))
        for number, arrival in enumerate(self.arrivals):
            self._at(arrival, self._arrival(number, arrival))
        self._at(self.plant.tick_seconds, self._tick)
        while len(self.latencies) < len(self.arrivals):
            time, _, happen = heapq.heappop(self._events)
            self._pass(time)
            happen()
        ordered = tuple(self.latencies[number] for number in range(len(self.arrivals)))
        return Result(ordered, tuple(self.history), self.replica_seconds, self.busy_seconds)

    def _at(self, time: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), happen))

    def _pass(self, time: float) -> None:
        self.replica_seconds += (time - self.time) * self._there()
        self.busy_seconds += (time - self.time) * min(self._there(), -(-self.working // self.plant.parallel))
        self.time = time

    def _there(self) -> int:
        return self.ready + self.starting + self.leaving

    def _arrival(self, number: int, arrival: float) -> Callable[[], None]:
        def happen() -> None:
            self.came += 1
            self.queue.append((number, arrival))
            if not self.ready and not self.starting:
                # The activator asks for a replica at once.
                self._scale(1)
            self._work()

        return happen

    def _work(self) -> None:
        while self.queue and self.working < self.ready * self.plant.parallel:
            number, arrival = self.queue.popleft()
            self.working += 1
            self._at(self.time + self.plant.service_seconds, self._done(number, arrival))

    def _done(self, number: int, arrival: float) -> Callable[[], None]:
        def happen() -> None:
            self.working -= 1
            self.latencies[number] = self.time - arrival
            self._leave()
            self._work()

        return happen

    def _tick(self) -> None:
        under_way = self.working + len(self.queue)
        rate = self.came / self.plant.tick_seconds
        load = float(under_way) if self.metric is ScaleMetric.CONCURRENCY else rate
        # At zero nobody looks: the next request says that one is needed.
        if self.ready + self.starting:
            self._scale(self.policy(Sample(load, bool(under_way or self.came), self.ready), self.time))
        self.came = 0
        self._work()
        self._at(self.time + self.plant.tick_seconds, self._tick)

    def _scale(self, wanted: int) -> None:
        change = wanted - self.ready - self.starting
        for _ in range(max(0, change)):
            self.starting += 1
            self._at(self.time + self.plant.start_seconds, self._started)
        if change < 0:
            self.leaving += min(self.ready, -change)
            self.ready -= min(self.ready, -change)
            self._leave()
        self._note()

    def _started(self) -> None:
        self.starting -= 1
        self.ready += 1
        self._work()

    def _leave(self) -> None:
        """Those let go end as soon as the work fits into the others."""
        needed = max(0, -(-self.working // self.plant.parallel) - self.ready)
        if self.leaving > needed:
            self.leaving = needed
            self._note()

    def _note(self) -> None:
        if self.history[-1][1] != self._there():
            self.history.append((self.time, self._there()))
