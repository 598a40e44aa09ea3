"""How requests move between revisions, without a process."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.errors import ArgosyError, Conflict, InvalidRequest, NotFound
from argosy.flow.service_options import Release, ReleaseMode, ServiceOptions, Strategy
from argosy.serve.deployment import Deployment
from argosy.serve.lifecycle.events import (
    AnswerAsker,
    Compared,
    DeleteRequested,
    DeployRequested,
    PromoteRequested,
    ReplicaListening,
    RollbackRequested,
    ScaleRequested,
    StartReplica,
    StopProcess,
    TrafficRequested,
)
from argosy.serve.lifecycle.state import Comparison, Service, upgraded
from argosy.serve.lifecycle.topology import topology
from argosy.serve.lifecycle.traffic import HeaderTarget, Traffic, all_to, with_canary
from argosy.serve.manager.views import service_view

from .world import SETTINGS, World, deployment, public, restarted


def released(
    world: World, model: str, mode: ReleaseMode, percent: int = 100, strategy: Strategy = Strategy.REPLICATED
) -> None:
    options = ServiceOptions(strategy=strategy, release=Release(mode, percent))
    asked: Deployment = msgspec.structs.replace(deployment(model, run=f"run-{model}"), options=options)
    world.feed(DeployRequested(world.time, asked))
    world.listen()
    world.answer_probes()


def shares(world: World) -> dict[int, int]:
    return dict(world.service.traffic.shares)


def rolled_back(world: World) -> None:
    world.feed(RollbackRequested(world.time, "fashion", "ann"))


def promoted(world: World, revision: int) -> None:
    world.feed(PromoteRequested(world.time, "fashion", revision, "it is better", "ann"))


def test_a_canary_gets_its_percent_and_whoever_deployed_it_is_told_at_once() -> None:
    world = World()
    world.serve("cnn")
    released(world, "dropout", ReleaseMode.CANARY, 10)
    assert shares(world) == {1: 90, 2: 10}
    assert world.phases() == {1: "serving", 2: "serving"}
    assert world.said(AnswerAsker)[-1].state == "ready"
    (service,) = topology(world.state).services
    assert [(one.revision, one.percent) for one in service.shares] == [(1, 90), (2, 10)]


def test_a_canary_of_a_service_that_serves_nothing_gets_everything() -> None:
    world = World()
    released(world, "cnn", ReleaseMode.CANARY, 10)
    assert shares(world) == {1: 100}


def test_a_held_revision_stands_by_without_requests_until_it_is_promoted() -> None:
    world = World()
    world.serve("cnn")
    released(world, "dropout", ReleaseMode.HOLD)
    assert (shares(world), world.phases()) == ({1: 100}, {1: "serving", 2: "standby"})
    assert world.said(AnswerAsker)[-1].state == "ready"
    promoted(world, 2)
    assert (shares(world), world.phases()) == ({2: 100}, {1: "standby", 2: "serving"})
    assert not world.said(StopProcess)


def test_a_shadow_gets_copies_once_its_comparer_is_there_and_what_it_counts_is_shown() -> None:
    world = World()
    world.serve("cnn")
    options = ServiceOptions(release=Release(ReleaseMode.SHADOW, 50))
    world.feed(
        DeployRequested(
            world.time, msgspec.structs.replace(deployment("dropout", run="run-2"), options=options)
        )
    )
    world.listen()
    world.answer_probes()
    assert world.said(StartReplica)[-1].replica.attempt == "service-fashion.r2.comparer-1"
    (service,) = topology(world.state).services
    assert service.shadow is None
    world.listen("service-fashion.r2.comparer-1", port=7000)
    wanted = topology(world.state)
    shadow = wanted.services[0].shadow
    assert shadow is not None
    assert (shadow.revision, shadow.percent) == (2, 50)
    cluster = next(one for one in wanted.clusters if one.name == shadow.cluster)
    assert [one.port for one in cluster.endpoints] == [7000]
    _compare(world, Comparison(10, 1, 20, 0.5, 0.25))
    world.end("service-fashion.r2.comparer-1")
    world.listen("service-fashion.r2.comparer-1", port=7001)
    _compare(world, Comparison(5, 0, 20, 1.0, 0.125))
    shown = service_view(world.state, world.service, SETTINGS, "").revisions[1]
    assert shown.shadow_percent == 50
    assert shown.comparison is not None
    assert (shown.comparison.requests, shown.comparison.failures) == (15, 1)
    assert (shown.comparison.agreement, shown.comparison.largest_difference) == (0.75, 0.25)


def _compare(world: World, counts: Comparison) -> None:
    replica = world.replica("service-fashion.r2.comparer-1")
    world.feed(Compared(world.time, replica.attempt, replica.token, counts))


def test_trouble_of_a_canary_degrades_the_service_and_trouble_of_a_shadow_does_not() -> None:
    for mode, state in ((ReleaseMode.CANARY, "degraded"), (ReleaseMode.SHADOW, "ready")):
        world = World()
        world.serve("cnn")
        released(world, "dropout", mode, 10)
        for _ in range(5):
            if "service-fashion.r2.dropout.0" not in world.alive:
                world.tick(10)
            world.end("service-fashion.r2.dropout.0", "exploded")
        assert world.summary()[0] == state
        if mode is ReleaseMode.CANARY:
            assert world.summary()[1] == "revision 2: model 'dropout' has 0 of 1 replicas ready: exploded"


def test_a_comparer_ends_with_its_shadow() -> None:
    world = World()
    world.serve("cnn")
    released(world, "dropout", ReleaseMode.SHADOW, 50)
    world.listen("service-fashion.r2.comparer-1")
    rolled_back(world)
    assert topology(world.state).services[0].shadow is None
    world.tick(SETTINGS.drain_seconds)
    assert world.said(StopProcess)[-1].attempt == "service-fashion.r2.comparer-1"


def test_a_rollback_is_one_move_back_and_starts_nothing() -> None:
    world = World()
    world.serve("cnn", replicas=2)
    world.serve("dropout", run="run-2")
    before = len(world.commands)
    rolled_back(world)
    assert world.commands[before:] == []
    assert (shares(world), public(world)) == ({1: 100}, [1])
    assert world.service.releases[-1].action == "rollback"
    assert world.service.releases[-1].user == "ann"


def test_only_the_last_few_revisions_stand_by_with_their_processes() -> None:
    world = World()
    for number in range(4):
        world.serve(f"m{number}", run=f"run-{number}")
    world.end_stopped()
    assert world.phases() == {1: "retired", 2: "standby", 3: "standby", 4: "serving"}


def test_a_rollback_starts_the_processes_of_a_revision_at_rest_before_it_moves() -> None:
    world = World()
    world.serve("cnn")
    world.serve("dropout", run="run-2")
    world.tick(SETTINGS.standby_seconds)
    world.end_stopped()
    assert world.phases() == {1: "retired", 2: "serving"}
    assert service_view(world.state, world.service, SETTINGS, "").revisions[0].state == "standby"
    rolled_back(world)
    assert (shares(world), world.phases()) == ({2: 100}, {1: "starting", 2: "serving"})
    assert world.summary() == ("ready", "rollback waits for revision 1")
    world.listen()
    world.answer_probes()
    assert (shares(world), world.phases()) == ({1: 100}, {1: "serving", 2: "standby"})


def test_a_revision_that_comes_back_has_as_many_replicas_as_the_one_it_takes_over_from() -> None:
    world = World()
    world.serve("cnn")
    world.serve("dropout", replicas=3, run="run-2")
    world.tick(SETTINGS.standby_seconds)
    world.end_stopped()
    rolled_back(world)
    assert len(world.starting()) == 3


def test_a_rollback_of_a_deployment_under_way_calls_it_off() -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout", run="run-2")
    rolled_back(world)
    assert (shares(world), world.service.coming) == ({1: 100}, None)
    answer = world.said(AnswerAsker)[-1]
    assert (answer.asker.run, answer.state, answer.reason) == ("run-2", "superseded", "it was rolled back")
    assert world.service.releases[-1].reason == "deploy was called off"


def test_a_promotion_of_a_revision_that_can_not_start_again_leaves_what_serves() -> None:
    world = World()
    world.serve("cnn")
    world.serve("dropout", run="run-2")
    world.tick(SETTINGS.standby_seconds)
    world.end_stopped()
    promoted(world, 1)
    for _ in range(3):
        if "service-fashion.r1.cnn.0" not in world.alive:
            world.tick(1)
        world.end("service-fashion.r1.cnn.0", "model.onnx is gone")
    assert (shares(world), world.phases()) == ({2: 100}, {1: "retired", 2: "serving"})
    assert (
        "promote was given up: revision 1" in world.summary()[1] or "revision 1 failed" in world.summary()[1]
    )
    assert "model.onnx is gone" in world.summary()[1]


def test_shares_and_header_rules_move_together() -> None:
    world = World()
    world.serve("cnn")
    released(world, "dropout", ReleaseMode.HOLD)
    released(world, "batch_norm", ReleaseMode.HOLD)
    rules = (HeaderTarget("x-tester", "yes", 3),)
    world.feed(TrafficRequested(world.time, "fashion", ((1, 60), (2, 40)), rules, "ann"))
    assert shares(world) == {1: 60, 2: 40}
    assert world.phases() == {1: "serving", 2: "serving", 3: "serving"}
    (service,) = topology(world.state).services
    assert [(one.header, one.value, one.revision) for one in service.headers] == [("x-tester", "yes", 3)]
    shown = service_view(world.state, world.service, SETTINGS, "")
    assert [(one.revision, one.percent, one.headers) for one in shown.revisions] == [
        (1, 60, []),
        (2, 40, []),
        (3, 0, ["x-tester: yes"]),
    ]
    assert (shown.releases[-1].action, shown.releases[-1].traffic) == ("traffic", {"1": 60, "2": 40})


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        (TrafficRequested(0, "fashion", ((1, 90), (2, 20))), InvalidRequest, "they add up to 110"),
        (TrafficRequested(0, "fashion", ((1, 110), (2, -10))), InvalidRequest, "revision 2 gets -10 %"),
        (TrafficRequested(0, "fashion", ((1, 50), (1, 50))), InvalidRequest, "named more than once"),
        (TrafficRequested(0, "fashion", ()), InvalidRequest, "none: they add up to 0"),
        (TrafficRequested(0, "fashion", ((9, 100),)), NotFound, "revision 9 of service 'fashion' does not"),
        (PromoteRequested(0, "fashion", 7), NotFound, "revision 7 of service 'fashion' does not exist"),
        (PromoteRequested(0, "fashion", 1), Conflict, "gets every request already"),
        (PromoteRequested(0, "fashion", 2), Conflict, "failed: model 'dropout' can not be started: broken"),
        (PromoteRequested(0, "other", 1), NotFound, "service 'other' does not exist"),
        (RollbackRequested(0, "fashion"), Conflict, "nothing to roll back to"),
        (ScaleRequested(0, "fashion", 3, 2), InvalidRequest, "can not have 3 to 2 replicas"),
        (ScaleRequested(0, "fashion", 0, 0), InvalidRequest, "can not have 0 to 0 replicas"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(
    event: TrafficRequested, kind: type[ArgosyError], words: str
) -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout")
    for _ in range(3):
        if "service-fashion.r2.dropout.0" not in world.alive:
            world.tick(1)
        world.end("service-fashion.r2.dropout.0", "broken")
    before = world.state
    with pytest.raises(kind) as caught:
        world.feed(event)
    assert words in caught.value.message
    assert caught.value.hint
    assert world.state == before


def test_a_service_that_is_being_deleted_can_not_be_changed() -> None:
    world = World()
    world.serve("cnn")
    world.feed(DeleteRequested(world.time, "fashion"))
    with pytest.raises(Conflict, match="is being deleted"):
        world.feed(ScaleRequested(world.time, "fashion", 1, 2))


def test_old_revisions_are_forgotten_and_a_rollback_to_one_says_so() -> None:
    world = World()
    for number in range(SETTINGS.kept_revisions + 3):
        world.serve(f"m{number}", run=f"run-{number}")
        world.tick(SETTINGS.standby_seconds)
        world.end_stopped()
    world.serve("last", run="last")
    kept = [revision.number for revision in world.service.revisions]
    assert kept == list(range(3, SETTINGS.kept_revisions + 5))
    with pytest.raises(NotFound, match="revision 1 of service 'fashion' is kept no longer"):
        promoted(world, 1)


def test_a_later_deployment_takes_precedence_over_a_move_that_waits() -> None:
    world = World()
    world.serve("cnn")
    world.serve("dropout", run="run-2")
    world.tick(SETTINGS.standby_seconds)
    world.end_stopped()
    promoted(world, 1)
    world.deploy("batch_norm", run="run-3")
    world.listen("service-fashion.r3.batch_norm.0")
    world.answer_probes()
    assert (shares(world), world.service.pending) == ({3: 100}, None)


def test_a_move_that_waits_survives_the_control_plane() -> None:
    world = World()
    world.serve("cnn")
    world.serve("dropout", run="run-2")
    world.tick(SETTINGS.standby_seconds)
    world.end_stopped()
    rolled_back(world)
    successor = restarted(world, lambda attempt: True)
    attempt = "service-fashion.r1.cnn.0"
    token = successor.alive[successor.replica(attempt).attempt]
    successor.feed(ReplicaListening(successor.time, successor.replica(attempt).attempt, token, 5000))
    successor.answer_probes()
    assert shares(successor) == {1: 100}


def test_a_record_from_before_there_were_pointers_is_read() -> None:
    world = World()
    world.serve("cnn")
    stored = msgspec.json.decode(msgspec.json.encode(world.service))
    for name in ("traffic", "releases", "pending"):
        del stored[name]
    for revision in stored["revisions"]:
        for name in ("bounds", "desired", "proved", "forget", "comparison", "compared", "comparer_token"):
            del revision[name]
        for replica in revision["replicas"]:
            del replica["grpc_port"], replica["unanswered"]
    old = upgraded(msgspec.json.decode(msgspec.json.encode(stored), type=Service))
    assert (old.traffic, old.current is not None) == (all_to(1), True)
    assert old.revisions[0].proved


@given(
    st.dictionaries(st.integers(1, 8), st.integers(1, 50), min_size=1, max_size=6),
    st.integers(9, 10),
    st.integers(1, 99),
)
def test_a_canary_leaves_whole_shares_in_the_proportions_of_before(
    parts: dict[int, int], number: int, percent: int
) -> None:
    whole = sum(parts.values())
    floors = {key: 100 * part // whole for key, part in parts.items()}
    floors[min(floors)] += 100 - sum(floors.values())
    before = Traffic(tuple(sorted((key, part) for key, part in floors.items() if part)))
    after = with_canary(before, number, percent)
    assert sum(share for _, share in after.shares) == 100
    assert after.percent(number) == percent
    for key, part in before.shares:
        assert abs(after.percent(key) - part * (100 - percent) / 100) < 1
