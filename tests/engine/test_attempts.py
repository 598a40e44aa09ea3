"""Retries with backoff, losses, permanent causes, and the fence against late reports."""

from __future__ import annotations

import signal

import pytest

from argosy.engine.attempts import KILL_LIMIT, LOSS_LIMIT, backoff_seconds
from argosy.engine.commands import Enqueue, Launch, StartTimer, Stop, Withdraw
from argosy.engine.events import AttemptEnded, AttemptGranted, AttemptStarted, BackoffElapsed
from argosy.engine.identity import attempt_id, split_attempt_id
from argosy.engine.state import Phase, RunPhase
from argosy.flow.graph import NodeId, RetryRule
from argosy.runtime.protocol import AttemptId, Cause, Outcome

from .building import RUN, Play, only, ref, step, stored


def test_a_failed_attempt_is_tried_again_after_its_backoff_in_a_new_attempt() -> None:
    play = Play(step("a", retry=RetryRule(limit=2, backoff_seconds=3.0)))
    play.begin("a")
    timer = only(play.end("a", Cause.ERROR, "boom"), StartTimer)
    assert (timer.node, timer.number, timer.time) == ("a", 1, play.time + 3.0)
    assert play["a"].reason == "attempt 1 of 3: error: boom; again in 3.0s"
    only(play.elapse("a"), Enqueue)
    assert (play["a"].phase, play["a"].attempt, play["a"].resume_at) == (Phase.QUEUED, 2, None)
    play.run("a")
    assert (play.state.phase, play["a"].reason) == (RunPhase.SUCCEEDED, "")


def test_after_the_last_retry_the_node_fails() -> None:
    play = Play(step("a", retry=RetryRule(limit=2)))
    for _ in range(2):
        play.fail("a")
        play.elapse("a")
    play.fail("a")
    assert play["a"].attempt == 3
    assert play["a"].reason == "error: boom (after 3 attempts)"


def test_room_is_given_back_at_every_end() -> None:
    play = Play(step("a", retry=RetryRule(limit=1)))
    play.begin("a")
    assert only(play.end("a", Cause.ERROR), Withdraw).attempt == attempt_id(RUN, NodeId("a"), 1)


@pytest.mark.parametrize(
    ("rule", "waits"),
    [
        (RetryRule(limit=9), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]),
        (RetryRule(limit=9, backoff_seconds=5.0, factor=1.0), [5.0, 5.0, 5.0]),
        (RetryRule(limit=9, backoff_seconds=0.0), [0.0, 0.0]),
        (RetryRule(limit=9, backoff_seconds=100.0, maximum_seconds=7.0), [7.0]),
    ],
)
def test_backoff_grows_by_its_factor_to_its_maximum(rule: RetryRule, waits: list[float]) -> None:
    assert [backoff_seconds(rule, n + 1) for n in range(len(waits))] == waits


@pytest.mark.parametrize("factor", [2.0, 1e5, 1e300])
def test_backoff_never_overflows(factor: float) -> None:
    rule = RetryRule(limit=10**6, factor=factor)
    assert backoff_seconds(rule, 10**6) == 60.0


@pytest.mark.parametrize("cause", [Cause.IMPORT_ERROR, Cause.CORRUPT_INPUT])
def test_permanent_causes_are_not_retried(cause: Cause) -> None:
    play = Play(step("a", retry=RetryRule(limit=5)))
    play.begin("a")
    play.end("a", cause, "no module named x")
    assert play["a"].phase is Phase.FAILED
    assert play["a"].reason.endswith("(not retried: another attempt would end the same way)")


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.PREEMPTED, Cause.CANCELLED])
def test_a_loss_is_not_counted_as_a_failure_and_runs_again_at_once(cause: Cause) -> None:
    play = Play(step("a"))
    play.begin("a")
    only(play.end("a", cause, "the launcher went away"), Enqueue)
    assert (play["a"].failures, play["a"].losses, play["a"].attempt) == (0, 1, 2)
    play.run("a")
    assert play.state.phase is RunPhase.SUCCEEDED


def test_losses_are_bounded() -> None:
    play = Play(step("a"))
    for _ in range(LOSS_LIMIT + 1):
        assert play["a"].phase is Phase.QUEUED
        play.begin("a")
        play.end("a", Cause.LOST, "gone")
    assert play["a"].reason == "lost 6 times; the last time: lost: gone"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_attempt_killed_from_outside_runs_again_at_once(number: int) -> None:
    play = Play(step("a"))
    for _ in range(KILL_LIMIT):
        play.begin("a")
        commands = play.send(killed(play, number))
        assert [type(command) for command in commands] == [Enqueue, Withdraw]
    play.begin("a")
    play.send(killed(play, number))
    assert play["a"].phase is Phase.FAILED


def test_a_crash_of_the_step_itself_is_a_failure() -> None:
    play = Play(step("a"))
    play.begin("a")
    play.send(killed(play, signal.SIGSEGV))
    assert play["a"].phase is Phase.FAILED


def killed(play: Play, number: int) -> AttemptEnded:
    attempt, token = play.attempt("a")
    return AttemptEnded(play.time, attempt, token, Outcome(Cause.SIGNAL, "killed", signal=number))


def test_what_runs_again_keeps_the_time_it_first_stood_in_line() -> None:
    play = Play(step("a", retry=RetryRule(limit=3)))
    queued_at = play["a"].queued_at
    play.fail("a")
    play.time += 60
    play.send(BackoffElapsed(play.time, NodeId("a"), 1))
    assert play["a"].phase is Phase.QUEUED
    assert play["a"].queued_at == queued_at


def test_losses_do_not_use_up_retries() -> None:
    play = Play(step("a", retry=RetryRule(limit=1)))
    play.begin("a")
    play.end("a", Cause.LOST)
    play.fail("a")
    assert play["a"].phase is Phase.BACKOFF


def test_an_attempt_may_end_before_its_start_is_reported() -> None:
    play = Play(step("a"))
    play.grant("a")
    play.succeed("a")
    assert play.state.phase is RunPhase.SUCCEEDED


def test_a_result_of_a_superseded_attempt_is_dropped() -> None:
    play = Play(step("a"))
    play.begin("a")
    play.end("a", Cause.LOST)
    play.begin("a")
    state = play.state
    commands = play.end("a", Cause.SUCCEEDED, output=stored("late"), number=1)
    assert commands == [Withdraw(attempt_id(RUN, NodeId("a"), 1))]
    assert play.state is state
    play.succeed("a", stored("new"))
    assert play.state.output == stored("new")


def test_a_result_is_taken_once() -> None:
    play = Play(step("a"), step("b"))
    play.begin("a")
    play.succeed("a", stored("first"))
    state = play.state
    play.succeed("a", stored("second"))
    play.end("a", Cause.ERROR)
    assert play.state is state


@pytest.mark.parametrize("phase", ["waiting", "queued", "backoff", "ended"])
def test_a_grant_that_nobody_waits_for_gives_its_room_back(phase: str) -> None:
    play = Play(step("z"), step("a", retry=RetryRule(limit=1)), step("b", x=ref("z")))
    node, number = "a", 1
    if phase == "waiting":
        node = "b"
    elif phase == "queued":
        number = 7
    elif phase == "backoff":
        play.fail("a")
    else:
        play.run("a")
    state = play.state
    attempt = attempt_id(RUN, NodeId(node), number)
    assert play.send(AttemptGranted(play.time, attempt, number)) == [Withdraw(attempt)]
    assert play.state is state


def test_a_second_grant_launches_nothing() -> None:
    play = Play(step("a"))
    play.grant("a")
    assert not any(isinstance(command, Launch) for command in play.grant("a"))


def test_an_attempt_that_runs_though_it_was_superseded_is_stopped() -> None:
    play = Play(step("a"))
    play.begin("a")
    play.end("a", Cause.LOST)
    state = play.state
    attempt = attempt_id(RUN, NodeId("a"), 1)
    assert only(play.send(AttemptStarted(play.time, attempt, 1)), Stop).attempt == attempt
    assert play.state is state


def test_a_second_report_of_the_start_changes_nothing() -> None:
    play = Play(step("a"))
    play.begin("a")
    state = play.state
    assert play.start("a") == []
    assert play.state is state


def test_an_old_timer_starts_nothing() -> None:
    play = Play(step("a", retry=RetryRule(limit=3)))
    play.fail("a")
    play.elapse("a")
    state = play.state
    assert play.send(BackoffElapsed(play.time, NodeId("a"), 1)) == []
    assert play.state is state


@pytest.mark.parametrize("node", ["nobody", "a[3]"])
def test_reports_about_nodes_that_do_not_exist_change_nothing(node: str) -> None:
    play = Play(step("a"))
    state = play.state
    attempt = attempt_id(RUN, NodeId(node), 1)
    play.send(AttemptStarted(play.time, attempt, 1))
    play.send(AttemptEnded(play.time, attempt, 1, Outcome(Cause.SUCCEEDED), stored("x")))
    play.send(BackoffElapsed(play.time, NodeId(node), 1))
    assert play.state is state


@pytest.mark.parametrize("node", ["a", "train[12]", "a-b_c.d"])
def test_an_attempts_name_tells_run_node_and_number(node: str) -> None:
    assert split_attempt_id(attempt_id(RUN, NodeId(node), 3)) == (RUN, node, 3)


@pytest.mark.parametrize("name", ["service-x", "a:b", "a:b:c", "a:b:1:2"])
def test_a_name_the_engine_did_not_give_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        split_attempt_id(AttemptId(name))
