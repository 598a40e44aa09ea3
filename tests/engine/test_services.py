"""A service node: deployed when its models are there, done when it answers."""

from __future__ import annotations

import pytest

from argosy.engine.commands import Deploy
from argosy.engine.state import Phase, RunPhase

from .building import Play, collection, inline, many, only, ref, service, step, stored


def serving() -> Play:
    play = Play(step("a"), step("b"), service("svc", collection("a", "b")), step("test", url=ref("svc")))
    play.run("a", "b")
    return play


def test_a_service_is_deployed_with_all_its_models() -> None:
    play = serving()
    deploy = only(play.commands, Deploy)
    assert (deploy.node, deploy.generation, deploy.models) == ("svc", 1, many(stored("a"), stored("b")))
    assert play["svc"].phase is Phase.DEPLOYING


def test_its_endpoint_is_what_the_nodes_below_get() -> None:
    play = serving()
    play.ready("svc")
    play.run("test")
    assert play.launched("test").inputs == {"url": inline({"name": "svc", "revision": 1})}
    assert play.state.phase is RunPhase.SUCCEEDED


def test_a_service_that_fails_skips_what_needs_it() -> None:
    play = serving()
    play.refused("svc", "no replica is ready")
    assert play["test"].phase is Phase.SKIPPED
    assert play.state.reason == "svc failed: no replica is ready"


@pytest.mark.parametrize("generation", [0, 2, 99])
def test_an_answer_about_another_deployment_is_dropped(generation: int) -> None:
    play = serving()
    state = play.state
    assert play.ready("svc", generation) == []
    assert play.state is state


def test_a_second_answer_changes_nothing() -> None:
    play = serving()
    play.ready("svc")
    state = play.state
    play.ready("svc")
    play.refused("svc")
    assert play.state is state


def test_a_service_whose_models_failed_is_skipped() -> None:
    play = Play(step("a"), service("svc", ref("a")))
    play.fail("a")
    assert (play["svc"].phase, play["svc"].reason) == (Phase.SKIPPED, "needs a, which failed")


def test_a_deploying_service_is_cancelled_at_once_and_a_late_answer_dropped() -> None:
    play = serving()
    play.cancel()
    assert play["svc"].phase is Phase.CANCELLED
    state = play.state
    play.ready("svc")
    assert play.state is state
    assert play.state.phase is RunPhase.CANCELLED
