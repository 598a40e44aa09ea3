"""Cancelling a run in every phase of its nodes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from argosy.engine.commands import FinishRun, Stop, Withdraw
from argosy.engine.recovery import outstanding
from argosy.engine.state import Phase, RunPhase
from argosy.flow.graph import NodeId, RetryRule
from argosy.runtime.protocol import Cause

from .building import Play, arriving, inline, only, ref, service, step, stored


def in_phase(phase: Phase) -> tuple[Play, str]:
    """A run with a node in a phase that is not an end."""
    plays: dict[Phase, Callable[[], tuple[Play, str]]] = {
        Phase.WAITING: lambda: (Play(step("z"), step("a", x=ref("z"))), "a"),
        Phase.LOOKING_UP: lambda: (Play(step("a", memoize=True)), "a"),
        Phase.EXPANDING: lambda: (Play(step("z"), step("a", x=ref("z"), map_over="x")), "a"),
        Phase.QUEUED: lambda: (Play(step("a")), "a"),
        Phase.BACKOFF: lambda: (Play(step("a", retry=RetryRule(limit=1))), "a"),
        Phase.DEPLOYING: lambda: (Play(step("z"), service("a", ref("z"))), "a"),
    }
    play, node = plays[phase]()
    if phase in (Phase.EXPANDING, Phase.DEPLOYING):
        play.run("z")
    if phase is Phase.BACKOFF:
        play.fail("a")
    assert play[node].phase is phase
    return play, node


@pytest.mark.parametrize(
    "phase",
    [Phase.WAITING, Phase.LOOKING_UP, Phase.EXPANDING, Phase.QUEUED, Phase.BACKOFF, Phase.DEPLOYING],
)
def test_what_does_not_run_is_cancelled_at_once(phase: Phase) -> None:
    play, node = in_phase(phase)
    commands = play.cancel("enough")
    assert (play[node].phase, play[node].reason) == (Phase.CANCELLED, "enough")
    assert (play.state.phase, play.state.reason) == (RunPhase.CANCELLED, "enough")
    assert only(commands, FinishRun)


def test_a_queued_attempt_is_withdrawn() -> None:
    play, node = in_phase(Phase.QUEUED)
    assert only(play.cancel(), Withdraw).attempt == play.attempt(node)[0]


@pytest.mark.parametrize("started", [False, True])
def test_a_running_attempt_is_stopped_and_cancelled_when_its_end_is_reported(started: bool) -> None:
    play = Play(step("a"), step("b", x=ref("a")))
    play.grant("a")
    if started:
        play.start("a")
    stop = only(play.cancel("enough"), Stop)
    assert (stop.attempt, stop.cause, stop.message) == (play.attempt("a")[0], Cause.CANCELLED, "enough")
    assert play["a"].phase in (Phase.STARTING, Phase.RUNNING)
    assert play["b"].phase is Phase.CANCELLED
    assert play.state.phase is RunPhase.RUNNING
    play.end("a", Cause.CANCELLED, "enough")
    assert (play["a"].phase, play.state.phase) == (Phase.CANCELLED, RunPhase.CANCELLED)


@pytest.mark.parametrize("cause", [Cause.ERROR, Cause.LOST, Cause.PREEMPTED, Cause.SIGNAL])
def test_a_stopped_attempt_that_ends_badly_is_cancelled_and_not_tried_again(cause: Cause) -> None:
    play = Play(step("a", retry=RetryRule(limit=3)))
    play.begin("a")
    play.cancel()
    play.end("a", cause)
    assert (play["a"].phase, play.state.phase) == (Phase.CANCELLED, RunPhase.CANCELLED)


def test_a_stopped_attempt_that_succeeded_before_it_was_reached_keeps_its_result() -> None:
    play = Play(step("a"))
    play.begin("a")
    play.cancel()
    play.succeed("a")
    assert (play["a"].phase, play.state.phase) == (Phase.SUCCEEDED, RunPhase.SUCCEEDED)
    assert (play.state.output, play.state.reason) == (stored("a"), "")


def test_instances_of_a_mapped_node_are_cancelled_each() -> None:
    play = Play(step("a"), step("m", x=ref("a"), map_over="x"))
    play.begin("a")
    play.succeed("a", inline([1, 2, 3]))
    play.run("m[0]")
    play.begin("m[1]")
    commands = play.cancel()
    assert only(commands, Stop).attempt == play.attempt("m[1]")[0]
    assert only(commands, Withdraw).attempt == play.attempt("m[2]")[0]
    assert play["m"].phase is Phase.MAPPED
    play.end("m[1]", Cause.CANCELLED)
    assert (play["m"].phase, play.state.phase) == (Phase.CANCELLED, RunPhase.CANCELLED)
    assert play["m[0]"].phase is Phase.SUCCEEDED


def test_a_consumer_between_two_runs_keeps_what_it_has() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p", "q")))
    play.run("p", "c")
    play.cancel()
    assert (play["c"].phase, play["c"].settled, play["c"].output) == (Phase.SUCCEEDED, True, stored("c"))
    assert play.state.phase is RunPhase.CANCELLED


def test_a_running_consumer_does_not_run_again_after_its_end() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p", "q")))
    play.run("p")
    play.begin("c")
    play.run("q")
    play.cancel()
    play.succeed("c")
    assert (play["c"].phase, play.state.phase) == (Phase.SUCCEEDED, RunPhase.CANCELLED)
    assert play["c"].attempt == 1


def test_a_consumer_that_missed_what_a_stopped_producer_still_brought_makes_the_run_cancelled() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p", "q")))
    play.run("p", "c")
    play.begin("q")
    play.cancel()
    play.succeed("q")
    assert play.state.phase is RunPhase.CANCELLED


def test_a_failure_that_was_provisional_is_a_cancellation() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p", "q")))
    play.run("p")
    play.fail("c")
    play.cancel()
    assert play["c"].phase is Phase.CANCELLED
    assert play.state.phase is RunPhase.CANCELLED


def test_a_second_cancellation_changes_nothing() -> None:
    play = Play(step("a"))
    play.begin("a")
    play.cancel("first")
    state = play.state
    assert play.cancel("second") == []
    assert play.state is state


def test_a_run_that_has_ended_is_not_cancelled() -> None:
    play = Play(step("a"))
    play.run("a")
    state = play.state
    assert play.cancel() == []
    assert play.state is state


def test_a_failure_before_the_cancellation_is_still_named() -> None:
    play = Play(step("a"), step("b"))
    play.fail("a")
    play.cancel("cancelled by a user")
    assert play.state.phase is RunPhase.FAILED
    assert play.state.reason == "a failed: error: boom; then cancelled by a user"


def test_after_a_crash_what_runs_of_a_cancelled_run_is_to_be_stopped_and_not_launched() -> None:
    play = Play(step("a"), step("b"))
    play.grant("a")
    play.begin("b")
    play.cancel("enough")
    assert outstanding(play.plan, play.state) == (
        Stop(play.attempt("a")[0], Cause.CANCELLED, "enough"),
        Stop(play.attempt("b")[0], Cause.CANCELLED, "enough"),
    )
    assert NodeId("a") in play.state.nodes
