"""Every decision about services, without a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from argosy.artifacts.reference import ArtifactReference
from argosy.errors import InvalidRequest
from argosy.runtime.protocol import AttemptId
from argosy.serve.deployment import Deployment, ModelReference, checked
from argosy.serve.events import (
    Acknowledge,
    Adopted,
    AnswerAsker,
    DeleteRequested,
    DeployRequested,
    GatewayAnswered,
    ProcessEnded,
    ReplicaListening,
    RevisionAnswered,
    ServeCommand,
    ServeEvent,
    StartGateway,
    StartReplica,
    StopProcess,
    Ticked,
)
from argosy.serve.lifecycle import decide
from argosy.serve.state import (
    GATEWAY_ATTEMPT,
    GatewayPhase,
    Replica,
    ReplicaPhase,
    RevisionPhase,
    ServeState,
    Service,
    Settings,
    all_replicas,
    next_due,
)
from argosy.serve.summary import summarize, view
from argosy.serve.topology import probes, topology

Kind = TypeVar("Kind", bound=ServeCommand)

SETTINGS = Settings()


def deployment(*models: str, service: str = "fashion", replicas: int = 1, run: str = "run-1") -> Deployment:
    references = tuple(
        ModelReference(name, ArtifactReference(f"digest-{name}", "model", 1)) for name in models
    )
    return Deployment(service, references, (replicas, 4), "mean", run, "serve")


class World:
    """A state, the events that led to it, and processes that do what they are told."""

    def __init__(self, state: ServeState | None = None) -> None:
        self.state = state or ServeState()
        self.time = 1000.0
        self.commands: list[ServeCommand] = []
        self.alive: dict[AttemptId, int] = {}

    def feed(self, event: ServeEvent) -> list[ServeCommand]:
        self.state, commands = decide(self.state, event, SETTINGS)
        self.commands += commands
        for command in commands:
            if isinstance(command, StartReplica):
                self.alive[command.replica.attempt] = command.replica.token
            elif isinstance(command, StartGateway):
                self.alive[GATEWAY_ATTEMPT] = command.token
        return list(commands)

    def deploy(self, *models: str, **options: object) -> list[ServeCommand]:
        return self.feed(DeployRequested(self.time, deployment(*models, **options)))  # type: ignore[arg-type]

    def listen(self, *attempts: str, port: int = 5000) -> None:
        for number, attempt in enumerate(attempts or [str(one) for one in self._starting()]):
            token = self.alive[AttemptId(attempt)]
            self.feed(ReplicaListening(self.time, AttemptId(attempt), token, port + number))

    def end(self, attempt: str, reason: str = "it was killed by signal 9") -> list[ServeCommand]:
        token = self.alive.pop(AttemptId(attempt))
        return self.feed(ProcessEnded(self.time, AttemptId(attempt), token, reason))

    def answer_probes(self) -> None:
        while wanted := sorted(probes(self.state)):
            probe = wanted[0]
            if probe.service:
                event: ServeEvent = RevisionAnswered(self.time, probe.service, probe.revision, probe.public)
            else:
                event = GatewayAnswered(self.time, probe.token)
            self.feed(event)

    def tick(self, seconds: float = 0.0) -> list[ServeCommand]:
        self.time += seconds
        return self.feed(Ticked(self.time))

    def end_stopped(self) -> None:
        """Whatever was told to stop does."""
        for _ in range(10):
            for _, _, replica in tuple(all_replicas(self.state)):
                if replica.phase is ReplicaPhase.STOPPING and replica.attempt in self.alive:
                    self.end(replica.attempt, "stopped")

    def serve(self, *models: str, **options: object) -> None:
        self.deploy(*models, **options)
        self.listen()
        self.answer_probes()

    def said(self, kind: type[Kind]) -> list[Kind]:
        return [command for command in self.commands if isinstance(command, kind)]

    @property
    def service(self) -> Service:
        return self.state.services["fashion"]

    def phases(self) -> dict[int, str]:
        return {revision.number: revision.phase.value for revision in self.service.revisions}

    def summary(self) -> tuple[str, str]:
        summary = summarize(self.state, self.service, SETTINGS)
        return summary.state, summary.reason

    def replica(self, attempt: str) -> Replica:
        return next(replica for _, _, replica in all_replicas(self.state) if replica.attempt == attempt)

    def _starting(self) -> list[AttemptId]:
        return [one.attempt for _, _, one in all_replicas(self.state) if one.phase is ReplicaPhase.STARTING]


def public(world: World) -> list[int]:
    return [backend.revision for backend in topology(world.state).backends if backend.public]


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
    world.feed(RevisionAnswered(world.time, "fashion", 1, public=True))
    (answer,) = world.said(AnswerAsker)
    assert (answer.ready, answer.asker.run, answer.revision) == (True, "run-1", 1)
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
    assert (world.phases(), public(world)) == ({1: "draining", 2: "switching"}, [2])
    assert not world.said(StopProcess)
    world.answer_probes()
    world.tick(SETTINGS.drain_seconds)
    assert [stop.attempt for stop in world.said(StopProcess)] == ["service-fashion.r1.cnn.0"]
    world.end_stopped()
    assert world.phases() == {2: "serving"}


def test_routers_stop_before_the_members_they_may_still_ask() -> None:
    world = World()
    world.serve("cnn", "dropout")
    world.serve("cnn")
    world.tick(SETTINGS.drain_seconds)
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
    assert (answer.asker.run, answer.ready) == ("run-2", False)
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
    assert [(one.asker.run, one.ready) for one in world.said(AnswerAsker)] == [
        ("run-1", True),
        ("run-2", False),
        ("run-3", True),
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
    assert cluster.ports == (5001,)
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
    assert (answer.ready, answer.reason) == (False, "model 'cnn' can not be started: model.onnx is damaged")
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
    assert (answer.asker.run, answer.ready) == ("run-2", False)
    assert "not ready within 60 s: model 'dropout' is starting" in answer.reason
    world.end_stopped()
    assert (world.phases(), public(world)) == ({1: "serving"}, [1])
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
    assert world.phases() == {2: "serving"}
    assert [answer.ready for answer in world.said(AnswerAsker)] == [False, True]


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


def _restarted(world: World, alive: Callable[[AttemptId], bool]) -> World:
    """A successor that knows what was stored, and whose processes are those ``alive`` keeps."""
    services = {
        name: msgspec.json.decode(msgspec.json.encode(service), type=Service)
        for name, service in world.state.services.items()
    }
    successor = World(ServeState(services, world.state.gateway))
    successor.time = world.time + 5
    successor.alive = {attempt: token for attempt, token in world.alive.items() if alive(attempt)}
    gone = ServeState(services).gateway
    if not alive(GATEWAY_ATTEMPT):
        successor.state = ServeState(services, gone)
    successor.feed(Adopted(successor.time, frozenset(successor.alive.items())))
    return successor


def test_a_successor_leaves_what_lives_untouched() -> None:
    world = World()
    world.serve("cnn", "dropout", replicas=2)
    successor = _restarted(world, lambda attempt: True)
    assert successor.commands == []
    assert topology(successor.state) == topology(world.state)
    successor.answer_probes()
    assert successor.summary() == ("ready", "")


def test_a_successor_starts_what_is_gone() -> None:
    world = World()
    world.serve("cnn", replicas=2)
    successor = _restarted(world, lambda attempt: attempt == "service-fashion.r1.cnn.1")
    assert [one.replica.attempt for one in successor.said(StartReplica)] == ["service-fashion.r1.cnn.0"]
    assert len(successor.said(StartGateway)) == 1


def test_a_successor_ends_what_nobody_knows() -> None:
    world = World()
    stray = (AttemptId("service-old.r1.cnn.0"), 7)
    world.feed(Adopted(world.time, frozenset([stray])))
    assert [stop.attempt for stop in world.said(StopProcess)] == ["service-old.r1.cnn.0"]


def test_a_successor_gives_a_starting_replica_a_moment_and_then_starts_it_again() -> None:
    world = World()
    world.deploy("cnn")
    successor = _restarted(world, lambda attempt: True)
    assert successor.commands == []
    successor.tick(SETTINGS.adoption_seconds)
    assert [stop.attempt for stop in successor.said(StopProcess)] == ["service-fashion.r1.cnn.0"]
    successor.end("service-fashion.r1.cnn.0")
    successor.listen()
    successor.answer_probes()
    assert successor.said(AnswerAsker)[0].ready


def test_a_successor_finishes_a_switch() -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout", run="run-2")
    world.listen("service-fashion.r2.dropout.0")
    world.feed(RevisionAnswered(world.time, "fashion", 2, public=False))
    successor = _restarted(world, lambda attempt: True)
    successor.answer_probes()
    successor.tick(1)
    successor.end_stopped()
    assert successor.phases() == {2: "serving"}
    assert successor.said(AnswerAsker)[0].asker.run == "run-2"


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
        (msgspec.structs.replace(deployment("cnn"), replicas=(0, 1)), "replicas (0, 1)"),
        (msgspec.structs.replace(deployment("cnn"), aggregate="median"), "'median', which does not exist"),
    ],
)
def test_a_deployment_that_can_not_be_is_refused(wrong: Deployment, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked(wrong)
    assert words in caught.value.message


def test_models_get_names_that_are_unique_and_safe_in_a_url() -> None:
    names = [model.name for model in checked(deployment("cnn", "cnn", "my model/1", "", "cnn-2")).models]
    assert names == ["cnn", "cnn-2", "my-model-1", "model", "cnn-2-2"]


class Serving(RuleBasedStateMachine):
    """Whatever happens: one public revision at most, and in the end what was asked for last serves."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.asked: Deployment | None = None
        self.served = False

    @initialize()
    def start(self) -> None:
        self.world.feed(Adopted(self.world.time, frozenset()))

    @rule(models=st.sampled_from([("a",), ("b",), ("a", "b")]), replicas=st.integers(1, 3))
    def deploy(self, models: tuple[str, ...], replicas: int) -> None:
        self.asked = deployment(*models, replicas=replicas)
        self.world.feed(DeployRequested(self.world.time, self.asked))

    @precondition(lambda self: "fashion" in self.world.state.services)
    @rule()
    def delete(self) -> None:
        self.asked = None
        self.world.feed(DeleteRequested(self.world.time, "fashion"))

    @precondition(lambda self: bool(self.world.alive))
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.world.end(data.draw(st.sampled_from(sorted(self.world.alive))))

    @precondition(lambda self: bool(self.world._starting()))
    @rule(data=st.data())
    def listen(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.world._starting())))
        self.world.listen(attempt)

    @precondition(lambda self: bool(probes(self.world.state)))
    @rule()
    def answer(self) -> None:
        self.world.answer_probes()

    @rule(seconds=st.floats(0.01, 40))
    def wait(self, seconds: float) -> None:
        self.world.tick(seconds)

    @rule()
    def end_stopped(self) -> None:
        self.world.end_stopped()

    @rule(gateway=st.booleans(), replicas=st.booleans())
    def restart(self, gateway: bool, replicas: bool) -> None:
        kept = {GATEWAY_ATTEMPT: gateway}
        self.world = _restarted(self.world, lambda attempt: kept.get(attempt, replicas))

    @invariant()
    def at_most_one_revision_is_public(self) -> None:
        assert len(public(self.world)) <= 1
        for service in self.world.state.services.values():
            phases = [revision.phase for revision in service.revisions]
            assert sum(one in (RevisionPhase.SWITCHING, RevisionPhase.SERVING) for one in phases) <= 1
            assert sum(one in (RevisionPhase.STARTING, RevisionPhase.PROVING) for one in phases) <= 1
            assert sum(one is RevisionPhase.FAILED for one in phases) <= 1

    @invariant()
    def every_living_replica_is_known_and_every_running_one_lives(self) -> None:
        known = {
            replica.attempt: replica
            for _, _, replica in all_replicas(self.world.state)
            if replica.phase is not ReplicaPhase.BACKOFF
        }
        alive = {attempt: token for attempt, token in self.world.alive.items() if attempt != GATEWAY_ATTEMPT}
        assert alive == {attempt: replica.token for attempt, replica in known.items()}

    @invariant()
    def names_are_unique(self) -> None:
        attempts = [replica.attempt for _, _, replica in all_replicas(self.world.state)]
        assert len(attempts) == len(set(attempts))

    def teardown(self) -> None:
        """Left in peace, what was asked for last serves, unless it failed and said so."""
        for _ in range(20):
            self.world.end_stopped()
            self.world.listen(*map(str, self.world._starting()))
            self.world.answer_probes()
            self.world.tick(11)
            if (
                GATEWAY_ATTEMPT not in self.world.alive
                and self.world.state.gateway.phase is GatewayPhase.STARTING
            ):
                self.world.alive[GATEWAY_ATTEMPT] = self.world.state.gateway.token
        if self.asked is None:
            assert "fashion" not in self.world.state.services
            return
        service = self.world.service
        if service.failed is None and not service.reason:
            assert service.current is not None
            assert service.current.deployment.settings() == self.asked.settings()
            assert [revision.number for revision in service.revisions] == [service.current.number]


TestServing = Serving.TestCase
TestServing.settings = hypothesis_settings(max_examples=150, stateful_step_count=30, deadline=None)
