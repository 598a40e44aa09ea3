"""How many replicas there are, and what becomes of those that hang, without a process."""

from __future__ import annotations

import pytest
from msgspec.structs import replace as change

from argosy.flow.service_options import ServiceOptions, Sharding, Strategy
from argosy.serve.deployment import Deployment
from argosy.serve.lifecycle.events import (
    AnswerAsker,
    DeployRequested,
    KillProcess,
    ReplicaChecked,
    ReplicaListening,
    ReplicasDemanded,
    ReplicasDesired,
    ScaleRequested,
    StartReplica,
    StopProcess,
)
from argosy.serve.lifecycle.state import ReplicaPhase
from argosy.serve.lifecycle.topology import topology
from argosy.serve.manager.views import service_view

from .world import SETTINGS, World, deployment

FIRST, SECOND = "service-fashion.r1.cnn.0", "service-fashion.r1.cnn.1"


def deploy(
    world: World, *models: str, replicas: tuple[int, int] = (1, 4), strategy: Strategy = Strategy.REPLICATED
) -> None:
    asked: Deployment = change(
        deployment(*models), replicas=replicas, options=ServiceOptions(strategy=strategy)
    )
    world.feed(DeployRequested(world.time, asked))
    world.listen()
    world.answer_probes()


def desire(world: World, count: int, member: str = "cnn") -> None:
    world.feed(ReplicasDesired(world.time, "fashion", 1, member, count))


def demand(world: World, part: str = "cnn") -> None:
    world.feed(ReplicasDemanded(world.time, "fashion", 1, part))


def ports(world: World, cluster: str = "fashion.r1.cnn") -> list[int]:
    found = next(one for one in topology(world.state).clusters if one.name == cluster)
    return [one.port for one in found.endpoints]


def test_replicas_grow_to_what_is_desired_and_never_above_the_most() -> None:
    world = World()
    deploy(world, "cnn")
    desire(world, 9)
    assert [str(one) for one in world.starting()] == [
        "service-fashion.r1.cnn.1",
        "service-fashion.r1.cnn.2",
        "service-fashion.r1.cnn.3",
    ]
    assert world.summary() == ("ready", "")


def test_one_too_many_leaves_the_gateway_before_it_is_stopped() -> None:
    world = World()
    deploy(world, "cnn", replicas=(1, 4))
    desire(world, 2)
    world.listen(SECOND, port=6000)
    desire(world, 1)
    assert ports(world) == [5000]
    assert not world.said(StopProcess)
    world.tick(SETTINGS.drain_seconds)
    assert [stop.attempt for stop in world.said(StopProcess)] == [SECOND]
    assert not [one for one in world.end(SECOND, "stopped") if isinstance(one, StartReplica)]
    assert world.summary() == ("ready", "")


def test_one_that_is_about_to_leave_is_used_before_another_is_started() -> None:
    world = World()
    deploy(world, "cnn")
    desire(world, 2)
    world.listen(SECOND, port=6000)
    desire(world, 1)
    desire(world, 2)
    assert ports(world) == [5000, 6000]
    world.tick(SETTINGS.drain_seconds)
    assert not world.said(StopProcess)


def test_a_place_is_free_only_when_its_process_has_ended() -> None:
    world = World()
    deploy(world, "cnn")
    desire(world, 2)
    world.listen(SECOND, port=6000)
    desire(world, 1)
    world.tick(SETTINGS.drain_seconds)
    desire(world, 2)
    assert [str(one) for one in world.starting()] == ["service-fashion.r1.cnn.2"]


def test_an_event_driven_service_is_proved_with_one_replica_and_may_be_at_zero() -> None:
    world = World()
    deploy(world, "cnn", replicas=(2, 4), strategy=Strategy.EVENT)
    assert ports(world) == [5000]
    desire(world, 0)
    world.tick(SETTINGS.drain_seconds)
    world.end_stopped()
    assert (ports(world), world.alive.keys() - {"gateway-envoy"}) == ([], set())
    assert world.summary() == ("idle", "nobody asks: a request starts a replica")
    demand(world)
    assert world.summary() == ("starting", "model 'cnn' has 0 of 1 replicas ready")
    world.listen()
    assert world.summary() == ("ready", "")


def test_the_same_deployment_at_zero_is_proved_again_and_goes_back_to_zero() -> None:
    world = World()
    deploy(world, "cnn", replicas=(0, 4))
    desire(world, 0)
    world.tick(SETTINGS.drain_seconds)
    world.end_stopped()
    deploy(world, "cnn", replicas=(0, 4))
    assert [answer.state for answer in world.said(AnswerAsker)] == ["ready", "ready"]
    assert world.phases() == {1: "serving"}
    world.tick(SETTINGS.drain_seconds)
    world.end_stopped()
    assert world.summary()[0] == "idle"


def test_zero_is_refused_to_a_service_that_must_have_one() -> None:
    world = World()
    deploy(world, "cnn")
    desire(world, 0)
    assert not world.said(StopProcess)
    assert ports(world) == [5000]


def test_a_request_to_an_ensemble_at_zero_starts_routers_and_every_member() -> None:
    world = World()
    deploy(world, "cnn", "dropout", replicas=(0, 2))
    for member in ("cnn", "dropout"):
        desire(world, 0, member)
    world.tick(SETTINGS.drain_seconds)
    world.end_stopped()
    assert world.summary()[0] == "idle"
    demand(world, "")
    assert [str(one) for one in world.starting()] == [
        "service-fashion.r1.cnn.0",
        "service-fashion.r1.dropout.0",
        "service-fashion.r1.router-0",
    ]


def test_a_demand_for_what_is_there_starts_nothing() -> None:
    world = World()
    deploy(world, "cnn")
    demand(world)
    demand(world, "unknown")
    world.feed(ReplicasDemanded(world.time, "fashion", 9, "cnn"))
    assert len(world.said(StartReplica)) == 1


def test_a_sharded_service_of_one_model_has_a_router_and_its_members_are_shards() -> None:
    world = World()
    deploy(world, "cnn", replicas=(3, 4), strategy=Strategy.SHARDED)
    assert [str(one.replica.attempt) for one in world.said(StartReplica)] == [
        "service-fashion.r1.cnn.0",
        "service-fashion.r1.cnn.1",
        "service-fashion.r1.cnn.2",
        "service-fashion.r1.router-0",
        "service-fashion.r1.router-1",
    ]
    wanted = topology(world.state)
    (backend,) = wanted.backends
    assert (backend.streaming, backend.body_bytes) == (True, Sharding().body_bytes)
    assert backend.models == (("fashion", "fashion.r1"), ("fashion.cnn", "fashion.r1.cnn"))
    shards = next(one for one in wanted.clusters if one.name == "fashion.r1.cnn")
    assert [one.key for one in shards.endpoints] == ["cnn.0", "cnn.1", "cnn.2"]


def test_other_bounds_hold_for_every_revision_and_are_recorded() -> None:
    world = World()
    deploy(world, "cnn")
    world.feed(ScaleRequested(world.time, "fashion", 2, 3, "ann"))
    assert [str(one) for one in world.starting()] == [SECOND]
    shown = service_view(world.state, world.service, SETTINGS, "")
    assert (shown.replicas, shown.releases[-1].reason) == ((2, 3), "2 to 3 replicas")
    assert shown.scaling == "cnn: 2 (2 to 3 allowed)"


def test_the_same_deployment_with_other_bounds_starts_what_is_missing_and_no_revision() -> None:
    world = World()
    deploy(world, "cnn", replicas=(1, 1))
    deploy(world, "cnn", replicas=(2, 2))
    assert world.phases() == {1: "serving"}
    assert ports(world) == [5000, 5000]


def test_where_a_replica_speaks_grpc_is_told_to_the_gateway() -> None:
    world = World()
    world.deploy("cnn")
    replica = world.replica(FIRST)
    world.feed(ReplicaListening(world.time, replica.attempt, replica.token, 5000, 5001))
    (cluster,) = topology(world.state).clusters
    assert [(one.port, one.grpc_port) for one in cluster.endpoints] == [(5000, 5001)]


def test_the_room_of_a_model_is_that_of_its_ready_replicas_and_of_an_ensemble_that_of_its_narrowest() -> None:
    world = World()
    world.serve("cnn", replicas=2)
    (alone,) = topology(world.state).clusters
    assert alone.room == 2 * (256 + 64)
    world.end(FIRST)
    assert topology(world.state).clusters[0].room == 256 + 64
    several = World()
    several.serve("cnn", "mlp", replicas=2)
    several.end(FIRST)
    rooms = {one.name: one.room for one in topology(several.state).clusters}
    assert rooms == {"fashion.r1": 320, "fashion.r1.cnn": 320, "fashion.r1.mlp": 640}


def check(world: World, reason: str, attempt: str = FIRST) -> None:
    replica = world.replica(attempt)
    world.feed(ReplicaChecked(world.time, replica.attempt, replica.token, reason))


def test_a_replica_that_does_not_answer_is_asked_to_end_then_killed_and_then_replaced() -> None:
    world = World()
    world.serve("cnn", replicas=2)
    world.time += SETTINGS.stable_seconds
    for _ in range(SETTINGS.unanswered_checks):
        assert not world.said(StopProcess)
        check(world, "no answer within 2 s")
    reason = "it did not answer 3 checks in a row: no answer within 2 s"
    assert [(one.attempt, one.reason) for one in world.said(StopProcess)] == [(FIRST, reason)]
    assert ports(world) == [5001]
    assert world.summary() == ("degraded", f"model 'cnn' has 1 of 2 replicas ready: {reason}")
    assert [one for one in world.tick(SETTINGS.kill_seconds) if isinstance(one, KillProcess)]
    (started,) = [one for one in world.end(FIRST) if isinstance(one, StartReplica)]
    assert (started.replica.reason, started.replica.restarts) == (reason, 1)
    world.listen(FIRST)
    assert world.summary() == ("ready", "")


def test_an_answer_between_makes_up_for_those_that_did_not_come() -> None:
    world = World()
    world.serve("cnn")
    for reason in ("late", "late", "", "late", "late", ""):
        check(world, reason)
    assert world.replica(FIRST).phase is ReplicaPhase.READY
    assert not world.said(StopProcess)


@pytest.mark.parametrize("phase", [ReplicaPhase.STARTING, ReplicaPhase.HUNG])
def test_a_check_of_one_that_is_not_ready_says_nothing(phase: ReplicaPhase) -> None:
    world = World()
    world.deploy("cnn")
    if phase is ReplicaPhase.HUNG:
        world.tick(SETTINGS.replica_start_seconds)
    before = world.state
    check(world, "late")
    assert (world.state, world.replica(FIRST).phase) == (before, phase)
