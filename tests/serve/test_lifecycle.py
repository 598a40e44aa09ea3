"""Every decision about services, without a process."""

from __future__ import annotations

import msgspec
import pytest

from argosy.errors import InvalidRequest
from argosy.runtime.protocol import AttemptId
from argosy.serve.activator.core import Supply
from argosy.serve.activator.supplies import supplies
from argosy.serve.deployment import Deployment, checked
from argosy.serve.lifecycle.events import (
    Acknowledge,
    AnswerAsker,
    DeleteRequested,
    ProcessEnded,
    ReplicaListening,
    RevisionAnswered,
    StartGateway,
    StartReplica,
    StopProcess,
)
from argosy.serve.lifecycle.state import (
    GATEWAY_ATTEMPT,
    GatewayPhase,
    ReplicaPhase,
    next_due,
)
from argosy.serve.lifecycle.topology import topology
from argosy.serve.manager.views import service_view as view

from .world import SETTINGS, World, deployment, public


def test_a_first_deployment_starts_its_replicas_and_the_gateway() -> None:
    world = World()
    world.deploy("cnn", replicas=2)
    attempts = [command.replica.attempt for command in world.said(StartReplica)]
    assert attempts == ["service-fashion.r1.cnn.0", "service-fashion.r1.cnn.1"]
    assert len(world.said(StartGateway)) == 1
    assert world.summary() == ("starting", "0 of 2 processes are ready")


def test_a_service_of_several_models_gets_routers() -> None:
    world = World()
    world.deploy("cnn", "dropout", replicas=3)
    attempts = [command.replica.attempt for command in world.said(StartReplica)]
    assert attempts[6:] == ["service-fashion.r1.router-0", "service-fashion.r1.router-1"]


def test_ready_is_announced_only_when_every_replica_listens_and_the_gateway_answers_from_it() -> None:
    world = World()
    world.deploy("cnn", replicas=2)
    world.listen("service-fashion.r1.cnn.0")
    assert world.phases() == {1: "starting"}
    world.listen("service-fashion.r1.cnn.1")
    assert (world.phases(), public(world)) == ({1: "proving"}, [])
    world.feed(RevisionAnswered(world.time, "fashion", 1, public=False))
    assert (world.phases(), public(world)) == ({1: "switching"}, [1])
    assert not world.said(AnswerAsker)
    assert world.summary()[0] != "ready"
    world.feed(RevisionAnswered(world.time, "fashion", 1, public=True))
    (answer,) = world.said(AnswerAsker)
    assert (answer.state, answer.asker.run, answer.revision) == ("ready", "run-1", 1)
    assert world.summary() == ("ready", "")


def test_the_same_deployment_again_is_answered_without_a_restart() -> None:
    world = World()
    world.serve("cnn", replicas=2)
    started = len(world.said(StartReplica))
    world.deploy("cnn", replicas=2, run="run-2")
    world.answer_probes()
    assert len(world.said(StartReplica)) == started
    assert [answer.asker.run for answer in world.said(AnswerAsker)] == ["run-1", "run-2"]
    assert world.phases() == {1: "serving"}


def test_two_runs_that_deploy_the_same_are_both_answered() -> None:
    world = World()
    world.deploy("cnn")
    world.deploy("cnn", run="run-2")
    world.deploy("cnn", run="run-2")
    world.listen()
    world.answer_probes()
    assert [answer.asker.run for answer in world.said(AnswerAsker)] == ["run-1", "run-2"]
    assert len(world.said(StartReplica)) == 1


def test_another_model_is_a_new_revision_and_the_old_one_serves_until_it_is_ready() -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout")
    assert (world.phases(), public(world)) == ({1: "serving", 2: "starting"}, [1])
    assert not world.said(StopProcess)
    world.listen("service-fashion.r2.dropout.0")
    world.feed(RevisionAnswered(world.time, "fashion", 2, public=False))
    assert (world.phases(), public(world)) == ({1: "standby", 2: "switching"}, [2])
    world.answer_probes()
    world.tick(SETTINGS.standby_seconds - 1)
    assert not world.said(StopProcess)
    world.tick(1)
    assert [stop.attempt for stop in world.said(StopProcess)] == ["service-fashion.r1.cnn.0"]
    world.end_stopped()
    assert world.phases() == {1: "retired", 2: "serving"}


def test_routers_stop_before_the_members_they_may_still_ask() -> None:
    world = World()
    world.serve("cnn", "dropout")
    world.serve("cnn")
    world.tick(SETTINGS.standby_seconds)
    assert [stop.attempt for stop in world.said(StopProcess)] == ["service-fashion.r1.router-0"]
    world.end("service-fashion.r1.router-0")
    assert {stop.attempt for stop in world.said(StopProcess)[1:]} == {
        "service-fashion.r1.cnn.0",
        "service-fashion.r1.dropout.0",
    }


def test_a_newer_deployment_takes_the_place_of_one_that_is_still_starting() -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout", run="run-2")
    world.deploy("batch_norm", run="run-3")
    (_, answer) = world.said(AnswerAsker)
    assert (answer.asker.run, answer.state) == ("run-2", "superseded")
    assert "another deployment" in answer.reason
    assert [stop.attempt for stop in world.said(StopProcess)] == ["service-fashion.r2.dropout.0"]
    world.end_stopped()
    assert world.phases() == {1: "serving", 3: "starting"}


def test_going_back_to_what_serves_abandons_what_was_coming() -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout", run="run-2")
    world.deploy("cnn", run="run-3")
    world.answer_probes()
    world.end_stopped()
    assert world.phases() == {1: "serving"}
    assert [(one.asker.run, one.state) for one in world.said(AnswerAsker)] == [
        ("run-1", "ready"),
        ("run-2", "superseded"),
        ("run-3", "ready"),
    ]


def test_a_replica_that_dies_is_replaced_at_once_under_a_newer_token() -> None:
    world = World()
    world.serve("cnn", replicas=2)
    before = world.replica("service-fashion.r1.cnn.0").token
    commands = world.end("service-fashion.r1.cnn.0")
    assert isinstance(commands[0], Acknowledge)
    (started,) = [one for one in commands if isinstance(one, StartReplica)]
    assert started.replica.token > before
    (cluster,) = topology(world.state).clusters
    assert [one.port for one in cluster.endpoints] == [5001]
    state, reason = world.summary()
    assert (state, reason) == (
        "degraded",
        "model 'cnn' has 1 of 2 replicas ready: it was killed by signal 9",
    )
    world.listen("service-fashion.r1.cnn.0", port=6000)
    assert world.summary() == ("ready", "")


def test_a_replica_that_keeps_dying_is_started_later_and_later() -> None:
    world = World()
    world.serve("cnn")
    waits = []
    for _ in range(5):
        world.end("service-fashion.r1.cnn.0", "exploded")
        due = world.replica("service-fashion.r1.cnn.0").due
        assert due is not None
        if world.replica("service-fashion.r1.cnn.0").phase is ReplicaPhase.BACKOFF:
            waits.append(due - world.time)
            world.tick(due - world.time)
    assert waits == [0.25, 0.5, 1.0, 2.0]
    state, reason = world.summary()
    assert (state, reason) == ("failed", "model 'cnn' has 0 of 1 replicas ready: exploded")


def test_callers_wait_for_a_replica_that_dies_soon_and_not_for_one_that_can_not_start() -> None:
    world = World()
    world.serve("cnn")
    attempt = "service-fashion.r1.cnn.0"

    def die_and_start() -> Supply:
        world.end(attempt, "exploded")
        (supply,) = [one for name, one in supplies(world.state).items() if name == "fashion.r1.cnn"]
        if world.replica(attempt).phase is ReplicaPhase.BACKOFF:
            world.tick((world.replica(attempt).due or 0) - world.time)
        return supply

    for _ in range(5):
        supply = die_and_start()
        assert (supply.hopeless, supply.trouble) == (False, "model 'cnn' is being replaced: exploded")
        assert world.summary()[0] == "degraded"
        world.listen(attempt)
    told = [die_and_start() for _ in range(4)]
    assert [one.hopeless for one in told] == [False, False, False, True]
    assert told[-1].trouble == "model 'cnn' does not start: exploded"
    assert world.summary()[0] == "failed"


def test_a_replica_that_was_up_for_long_has_used_up_its_failures() -> None:
    world = World()
    world.serve("cnn")
    for _ in range(4):
        world.time += SETTINGS.stable_seconds
        world.end("service-fashion.r1.cnn.0")
        world.listen("service-fashion.r1.cnn.0")
    assert world.replica("service-fashion.r1.cnn.0").failures == 1
    assert world.replica("service-fashion.r1.cnn.0").restarts == 4


def test_a_model_that_can_not_start_fails_its_revision_with_the_reason_and_soon() -> None:
    world = World()
    world.deploy("cnn")
    for _ in range(3):
        due = next_due(world.state)
        assert due is not None
        if "service-fashion.r1.cnn.0" not in world.alive:
            world.tick(due - world.time)
        world.end("service-fashion.r1.cnn.0", "model.onnx is damaged")
    (answer,) = world.said(AnswerAsker)
    assert (answer.state, answer.reason) == (
        "failed",
        "model 'cnn' can not be started: model.onnx is damaged",
    )
    assert world.time < 1002
    assert world.summary() == ("failed", "model 'cnn' can not be started: model.onnx is damaged")
    assert topology(world.state).backends == ()


def test_a_failed_revision_leaves_the_old_one_serving_and_says_so() -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout", run="run-2")
    world.tick(SETTINGS.replica_start_seconds)
    world.tick(SETTINGS.deployment_seconds)
    answer = world.said(AnswerAsker)[-1]
    assert (answer.asker.run, answer.state) == ("run-2", "failed")
    assert "not ready within 60 s: model 'dropout' is hung" in answer.reason
    world.end_stopped()
    assert (world.phases(), public(world)) == ({1: "serving", 2: "failed"}, [1])
    state, reason = world.summary()
    assert state == "ready"
    assert reason.startswith("revision 2 failed: not ready within 60 s")


def test_a_deployment_after_a_failed_one_starts_afresh() -> None:
    world = World()
    world.deploy("cnn")
    world.tick(SETTINGS.deployment_seconds)
    world.end_stopped()
    assert world.phases() == {1: "failed"}
    world.serve("cnn")
    assert world.phases() == {1: "failed", 2: "serving"}
    assert world.summary() == ("ready", "")
    assert [answer.state for answer in world.said(AnswerAsker)] == ["failed", "ready"]


def test_a_replica_that_hangs_at_start_is_stopped_and_started_again() -> None:
    world = World()
    world.serve("cnn")
    world.end("service-fashion.r1.cnn.0")
    world.tick(SETTINGS.replica_start_seconds)
    (stop,) = world.said(StopProcess)
    assert stop.reason == "it was not ready within 30 s"
    assert not [one for one in world.tick(1) if isinstance(one, StopProcess)]
    world.end("service-fashion.r1.cnn.0", "it was not ready within 30 s")
    world.tick(1)
    world.listen("service-fashion.r1.cnn.0")
    assert world.summary() == ("ready", "")


def test_reports_of_a_superseded_process_change_nothing() -> None:
    world = World()
    world.serve("cnn")
    old = world.alive[AttemptId("service-fashion.r1.cnn.0")]
    world.end("service-fashion.r1.cnn.0")
    before = world.state
    world.feed(ReplicaListening(world.time, AttemptId("service-fashion.r1.cnn.0"), old, 9999))
    assert world.state == before
    commands = world.feed(ProcessEnded(world.time, AttemptId("service-fashion.r1.cnn.0"), old, "again"))
    assert commands == [Acknowledge(AttemptId("service-fashion.r1.cnn.0"), old)]
    assert world.state == before


def test_a_deleted_service_leaves_the_public_side_at_once_and_is_forgotten_with_its_last_process() -> None:
    world = World()
    world.serve("cnn", "dropout")
    world.feed(DeleteRequested(world.time, "fashion"))
    assert public(world) == []
    assert world.summary()[0] == "stopped"
    world.tick(SETTINGS.drain_seconds)
    world.end_stopped()
    assert world.state.services == {}
    assert next_due(world.state) is None or world.state.gateway.due is not None


def test_a_service_deployed_while_it_is_being_deleted_lives_on() -> None:
    world = World()
    world.serve("cnn")
    world.feed(DeleteRequested(world.time, "fashion"))
    world.serve("cnn")
    world.tick(SETTINGS.drain_seconds)
    world.end_stopped()
    assert world.phases() == {2: "serving"}
    assert public(world) == [2]


def test_a_gateway_that_dies_is_started_at_once_and_services_are_degraded_meanwhile() -> None:
    world = World()
    world.serve("cnn")
    commands = world.end(GATEWAY_ATTEMPT, "it was killed by signal 9")
    assert [type(command) for command in commands] == [Acknowledge, StartGateway]
    assert world.summary() == ("degraded", "the gateway is starting: it was killed by signal 9")
    world.answer_probes()
    assert world.summary() == ("ready", "")


def test_a_gateway_that_can_not_start_is_tried_again_with_growing_waits() -> None:
    world = World()
    world.deploy("cnn")
    for _ in range(4):
        world.end(GATEWAY_ATTEMPT, "it ended with exit code 1")
        if world.state.gateway.phase is GatewayPhase.DOWN:
            assert world.state.gateway.due is not None
            world.tick(world.state.gateway.due - world.time)
    assert world.time - 1000 == pytest.approx(0.25 + 0.5 + 1.0)
    assert len(world.said(StartGateway)) == 5


def test_a_gateway_that_does_not_answer_is_stopped() -> None:
    world = World()
    world.deploy("cnn")
    world.tick(SETTINGS.gateway_start_seconds)
    assert [stop.attempt for stop in world.said(StopProcess)] == [GATEWAY_ATTEMPT]


def test_a_view_names_every_member_and_replica() -> None:
    world = World()
    world.serve("cnn", "dropout")
    shown = view(world.state, world.service, SETTINGS, "http://127.0.0.1:8080")
    assert shown.url == "http://127.0.0.1:8080/v1/models/fashion:predict"
    assert [member.name for member in shown.members] == ["fashion.cnn", "fashion.dropout"]
    assert shown.members[0].url == "http://127.0.0.1:8080/v1/models/fashion.cnn:predict"
    assert shown.members[0].replicas[0].replica == "service-fashion.r1.cnn.0"
    assert shown.aggregate == "mean"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (deployment("cnn", service="Fashion MNIST"), "is not a name"),
        (deployment("cnn", service="a.b"), "is not a name"),
        (deployment(), "has no models"),
        (msgspec.structs.replace(deployment("cnn"), replicas=(0, 0)), "replicas: 0 to 0 replicas can not"),
        (msgspec.structs.replace(deployment("cnn"), aggregate="median"), "aggregate: 'median' is no way"),
    ],
)
def test_a_deployment_that_can_not_be_is_refused(wrong: Deployment, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked(wrong)
    assert words in caught.value.message


def test_models_get_names_that_are_unique_and_safe_in_a_url() -> None:
    names = [model.name for model in checked(deployment("cnn", "cnn", "my model/1", "", "cnn-2")).models]
    assert names == ["cnn", "cnn-2", "my-model-1", "model", "cnn-2-2"]
