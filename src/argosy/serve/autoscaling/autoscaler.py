"""Takes samples of what may scale, and says how many replicas there should be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from argosy.errors import ArgosyError
from argosy.flow.service_options import ScaleMetric
from argosy.runtime.protocol import AttemptId, Sampled
from argosy.serve.autoscaling.policy import Sample, ScalerState, decide
from argosy.serve.autoscaling.scalable import Key, Scalable, scalable
from argosy.serve.gateway.statistics import ClusterStatistics
from argosy.serve.lifecycle.state import ServeState

log = logging.getLogger(__name__)

# Without any load there is less to see, and it is looked at less often.
QUIET_FACTOR = 2.0

Statistics = Mapping[str, ClusterStatistics]
_NOTHING = ClusterStatistics()


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second that replicas were sent, and that they had no room for."""

    taken: float = 0.0
    refused: float = 0.0


_STILL = Rates()


class Autoscaler:
    """``read`` gives the gateway's counts, ``waiting`` what the activator holds for a cluster; ``on_desired``
    is told (service, revision, member, desired) when that is not what there is. Sleeps while nothing is
    scalable."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Statistics]],
        waiting: Callable[[str], int],
        on_desired: Callable[[str, int, str, int], None],
        tick_seconds: float,
    ) -> None:
        self._read = read
        self._waiting = waiting
        self._on_desired = on_desired
        self._tick_seconds = tick_seconds
        self._watched: tuple[Scalable, ...] = ()
        self._states: dict[Key, ScalerState] = {}
        self._reasons: dict[Key, str] = {}
        self._totals: dict[str, tuple[float, ClusterStatistics]] = {}
        self._usage: dict[tuple[AttemptId, int], tuple[float, int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._quiet = True

    def watch(self, state: ServeState) -> None:
        """From now on what may scale in this state."""
        self._watched = scalable(state)
        keys = {one.key for one in self._watched}
        self._reasons = {key: why for key, why in self._reasons.items() if key[0] in state.services}
        self._states = {key: value for key, value in self._states.items() if key in keys}
        self._usage = {
            key: self._usage[key] for one in self._watched for key in one.ready if key in self._usage
        }
        if self._watched and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None

    def sampled(self, event: Sampled) -> None:
        """What a replica uses."""
        self._usage[event.attempt, event.token] = (event.cpu, event.memory)

    def reason(self, service: str, revision: int, member: str) -> str:
        """Why this member has as many replicas as it has, or nothing when that was never decided here."""
        return self._reasons.get((service, revision, member), "")

    async def close(self) -> None:
        self.watch(ServeState())
        await asyncio.sleep(0)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds * (QUIET_FACTOR if self._quiet else 1.0))
            try:
                await self.tick()
            except ArgosyError as error:
                # What nobody counts is not nothing: what is there stays.
                log.debug("no samples: %s", error.message)
                for one in self._watched:
                    self._reasons[one.key] = f"as many as before: {error.message}"

    async def tick(self) -> None:
        """One sample and one decision for each."""
        statistics = await self._read()
        now = asyncio.get_running_loop().time()
        rates = {name: self._rates_of(name, one, now) for name, one in statistics.items()}
        self._totals = {name: self._totals[name] for name in statistics}
        self._quiet = True
        for one in self._watched:
            sample = self._sample(one, statistics, rates)
            self._quiet = self._quiet and not sample.busy
            before = self._states.get(one.key, ScalerState())
            state, decision = decide(before, sample, one.scaling, one.bounds, now)
            self._states[one.key] = state
            self._reasons[one.key] = decision.reason
            if decision.desired != one.wanted:
                log.info("%s.r%d.%s: %d replicas: %s", *one.key, decision.desired, decision.reason)
                self._on_desired(*one.key, decision.desired)

    def _rates_of(self, cluster: str, counted: ClusterStatistics, now: float) -> Rates:
        """Since the last sample. A gateway that started again counts from zero."""
        before, last = self._totals.get(cluster, (now, counted))
        self._totals[cluster] = (now, counted)
        if now <= before:
            return _STILL
        since = last if counted.total >= last.total and counted.refused >= last.refused else _NOTHING
        seconds = now - before
        return Rates((counted.total - since.total) / seconds, (counted.refused - since.refused) / seconds)

    def _sample(self, one: Scalable, statistics: Statistics, rates: Mapping[str, Rates]) -> Sample:
        under_way = self._under_way(one.cluster, statistics)
        rate = rates.get(one.cluster, _STILL).taken
        # What is refused would be under way for as long as the others are.
        refused = sum(rates.get(name, _STILL).refused for name in {one.cluster, one.entry})
        wanted = 1.0 + refused / max(rate, 1.0)
        entered = self._under_way(one.entry, statistics) + rates.get(one.entry, _STILL).taken
        used = [self._usage.get(key, (0.0, 0)) for key in one.ready]
        load = {
            ScaleMetric.CONCURRENCY: under_way * wanted,
            ScaleMetric.RPS: rate + refused,
            ScaleMetric.CPU: 100.0 * sum(cores for cores, _ in used),
            ScaleMetric.MEMORY: sum(size for _, size in used) / 2**20,
        }[one.scaling.metric]
        return Sample(load, bool(under_way or rate or entered or refused), len(one.ready))

    def _under_way(self, cluster: str, statistics: Statistics) -> int:
        """The activator is an endpoint of the cluster, so the gateway may count what it holds too."""
        counted = statistics.get(cluster, _NOTHING)
        return max(counted.active + counted.pending, self._waiting(cluster))
