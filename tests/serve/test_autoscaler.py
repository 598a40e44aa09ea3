"""What the autoscaler makes of what is counted and measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace as change

from argosy.errors import Unavailable
from argosy.flow.service_options import ScaleMetric, Scaling, ServiceOptions
from argosy.runtime.protocol import Sampled
from argosy.serve.autoscaling.autoscaler import Autoscaler, Statistics
from argosy.serve.gateway.statistics import ClusterStatistics
from argosy.serve.lifecycle.events import DeployRequested, ReplicasDesired
from argosy.serve.lifecycle.state import ServeState

from .harness import asynchronous
from .world import World, deployment


class Scene:
    """An autoscaler over a world of its own, which does what it is told."""

    def __init__(self, scaling: Scaling, *models: str, replicas: tuple[int, int] = (1, 5)) -> None:
        self.world = World()
        options = ServiceOptions(scaling=scaling)
        asked = change(deployment(*(models or ("cnn",))), replicas=replicas, options=options)
        self.world.feed(DeployRequested(self.world.time, asked))
        self.world.listen()
        self.world.answer_probes()
        self.statistics: Statistics | None = {}
        self.held = 0
        self.autoscaler = Autoscaler(self._read, lambda cluster: self.held, self._desired, 3600)

    async def _read(self) -> Statistics:
        if self.statistics is None:
            raise Unavailable("the gateway is down")
        return self.statistics

    def _desired(self, service: str, revision: int, member: str, desired: int) -> None:
        self.world.feed(ReplicasDesired(self.world.time, service, revision, member, desired))
        self.autoscaler.watch(self.world.state)

    def use(self, cores: float, size: int) -> None:
        for attempt, token in self.world.alive.items():
            self.autoscaler.sampled(Sampled(attempt, token, 0, cores, size, self.world.time))

    async def tick(self) -> list[int]:
        """How many replicas each member should have now."""
        self.autoscaler.watch(self.world.state)
        await self.autoscaler.tick()
        (revision,) = self.world.service.revisions
        return [revision.wanted(member) for member in revision.members]


def counted(active: int = 0, pending: int = 0, total: int = 0) -> Callable[[str], Statistics]:
    return lambda cluster: {cluster: ClusterStatistics(active, pending, total)}


@asynchronous
async def test_requests_under_way_and_waiting_for_a_connection_make_replicas() -> None:
    scene = Scene(Scaling(target=4.0))
    scene.statistics = counted(active=9, pending=2)("fashion.r1.cnn")
    assert await scene.tick() == [3]
    assert "11 requests under way" in scene.autoscaler.reason("fashion", 1, "cnn")
    await scene.autoscaler.close()


@asynchronous
async def test_what_replicas_have_no_room_for_makes_replicas_too() -> None:
    for metric, target, cluster in (
        (ScaleMetric.CONCURRENCY, 4.0, "fashion.r1.cnn"),
        (ScaleMetric.RPS, 100.0, "fashion.r1.cnn"),
        (ScaleMetric.CONCURRENCY, 4.0, "fashion.r1"),
    ):
        scene = Scene(
            Scaling(metric=metric, target=target), "cnn", *(("mlp",) if cluster == "fashion.r1" else ())
        )
        scene.statistics = {cluster: ClusterStatistics()}
        assert set(await scene.tick()) == {1}
        own = ClusterStatistics(active=3, total=1000)
        scene.statistics = {"fashion.r1.cnn": own, "fashion.r1.mlp": own} | {
            cluster: ClusterStatistics(active=3, total=1000, refused=10**6)
        }
        assert set(await scene.tick()) == {5}
        await scene.autoscaler.close()


@asynchronous
async def test_what_the_activator_holds_counts_once() -> None:
    scene = Scene(Scaling(target=4.0))
    scene.held = 9
    scene.statistics = counted(active=9)("fashion.r1.cnn")
    assert await scene.tick() == [3]
    scene.statistics = {}
    assert await scene.tick() == [3]
    await scene.autoscaler.close()


@asynchronous
async def test_cpu_is_in_percent_of_a_core_and_memory_in_mib() -> None:
    for metric, target in ((ScaleMetric.CPU, 60.0), (ScaleMetric.MEMORY, 100.0)):
        scene = Scene(Scaling(metric=metric, target=target), replicas=(2, 5))
        scene.use(cores=0.9, size=150 * 2**20)
        scene.autoscaler.watch(scene.world.state)
        assert await scene.tick() == [3]
        await scene.autoscaler.close()


@asynchronous
async def test_each_member_of_an_ensemble_has_its_own_number() -> None:
    scene = Scene(Scaling(target=4.0), "cnn", "dropout")
    scene.statistics = {"fashion.r1.cnn": ClusterStatistics(8), "fashion.r1.dropout": ClusterStatistics(1)}
    assert await scene.tick() == [2, 1]
    await scene.autoscaler.close()


@asynchronous
async def test_a_request_at_the_router_keeps_every_member_from_zero() -> None:
    scene = Scene(Scaling(idle_seconds=0.0), "cnn", "dropout", replicas=(0, 2))
    scene.statistics = {"fashion.r1": ClusterStatistics(active=1)}
    assert await scene.tick() == [1, 1]
    scene.statistics = {}
    assert await scene.tick() == [0, 0]
    await scene.autoscaler.close()


@asynchronous
async def test_a_gateway_that_does_not_count_changes_nothing() -> None:
    scene = Scene(Scaling(idle_seconds=0.0), replicas=(0, 2))
    scene.statistics = None
    scene.autoscaler.watch(scene.world.state)
    with pytest.raises(Unavailable):
        await scene.autoscaler.tick()
    assert scene.world.service.revisions[0].wanted("cnn") == 1
    await scene.autoscaler.close()


@asynchronous
async def test_what_can_not_change_is_not_watched_and_neither_is_what_is_at_zero() -> None:
    scene = Scene(Scaling(), replicas=(2, 2))
    scene.autoscaler.watch(scene.world.state)
    assert scene.autoscaler._task is None
    scene = Scene(Scaling(idle_seconds=0.0), replicas=(0, 2))
    scene.autoscaler.watch(scene.world.state)
    assert scene.autoscaler._task is not None
    assert await scene.tick() == [0]
    assert scene.autoscaler._task is None
    scene.autoscaler.watch(ServeState())
    await scene.autoscaler.close()
