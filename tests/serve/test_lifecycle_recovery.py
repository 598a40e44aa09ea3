"""What a control plane makes of what its predecessor left."""

from __future__ import annotations

from argosy.runtime.protocol import AttemptId
from argosy.serve.lifecycle.events import (
    Adopted,
    AnswerAsker,
    RevisionAnswered,
    StartGateway,
    StartReplica,
    StopProcess,
)
from argosy.serve.lifecycle.topology import topology

from .world import SETTINGS, World, restarted


def test_a_successor_leaves_what_lives_untouched() -> None:
    world = World()
    world.serve("cnn", "dropout", replicas=2)
    successor = restarted(world, lambda attempt: True)
    assert successor.commands == []
    assert topology(successor.state) == topology(world.state)
    successor.answer_probes()
    assert successor.summary() == ("ready", "")


def test_a_successor_starts_what_is_gone() -> None:
    world = World()
    world.serve("cnn", replicas=2)
    successor = restarted(world, lambda attempt: attempt == "service-fashion.r1.cnn.1")
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
    successor = restarted(world, lambda attempt: True)
    assert successor.commands == []
    successor.tick(SETTINGS.adoption_seconds)
    assert [stop.attempt for stop in successor.said(StopProcess)] == ["service-fashion.r1.cnn.0"]
    successor.end("service-fashion.r1.cnn.0")
    successor.listen()
    successor.answer_probes()
    assert successor.said(AnswerAsker)[0].state == "ready"


def test_a_successor_finishes_a_switch() -> None:
    world = World()
    world.serve("cnn")
    world.deploy("dropout", run="run-2")
    world.listen("service-fashion.r2.dropout.0")
    world.feed(RevisionAnswered(world.time, "fashion", 2, public=False))
    successor = restarted(world, lambda attempt: True)
    successor.answer_probes()
    successor.tick(SETTINGS.standby_seconds)
    successor.end_stopped()
    assert successor.phases() == {1: "retired", 2: "serving"}
    assert successor.said(AnswerAsker)[0].asker.run == "run-2"
