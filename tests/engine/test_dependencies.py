"""Chains, fan-out and fan-in, and what one failing branch does to the others."""

from __future__ import annotations

import pytest

from argosy.engine.commands import Enqueue, FinishRun, Launch
from argosy.engine.core import decide
from argosy.engine.events import CancelRequested, RunSubmitted
from argosy.engine.state import Phase, RunPhase
from argosy.flow.graph import Collection, Literal
from argosy.runtime.protocol import Cause

from .building import Play, collection, inline, many, nodes_of, only, ref, step, stored


def test_a_chain_runs_one_step_at_a_time_and_each_sees_the_output_of_the_one_before() -> None:
    play = Play(step("a"), step("b", x=ref("a")), step("c", x=ref("b")))
    for node in ("a", "b", "c"):
        assert play.queued() == [node]
        play.run(node)
    assert play.launched("c").inputs == {"x": stored("b")}
    assert play.state.phase is RunPhase.SUCCEEDED
    assert play.state.output == stored("c")
    assert isinstance(play.commands[-1], FinishRun)


def test_a_fan_out_queues_every_branch_at_once_in_the_graphs_order() -> None:
    play = Play(step("a"), *(step(f"b{i}", x=ref("a")) for i in range(3)))
    play.begin("a")
    assert nodes_of(play.succeed("a")) == ["b0", "b1", "b2"]


def test_a_fan_in_waits_for_all_and_keeps_the_order_of_the_arguments() -> None:
    play = Play(step("a"), step("b"), step("c"), step("d", xs=collection("c", "a", "b")))
    play.run("b", "c")
    assert play["d"].phase is Phase.WAITING
    play.run("a")
    play.grant("d")
    assert play.launched("d").inputs == {"xs": many(stored("c"), stored("a"), stored("b"))}


def test_a_node_that_uses_another_twice_counts_it_once() -> None:
    play = Play(step("a"), step("b", x=ref("a"), y=ref("a"), z=collection("a", "a")))
    assert play["b"].remaining == 1
    play.run("a", "b")
    assert play.state.phase is RunPhase.SUCCEEDED


def test_literals_reach_the_step_as_values() -> None:
    play = Play(step("a", epochs=Literal(3), shape=Collection((Literal(1), Literal([2])))))
    play.grant("a")
    assert play.launched("a").inputs == {"epochs": inline(3), "shape": many(inline(1), inline([2]))}


def test_an_empty_graph_ends_when_it_is_submitted() -> None:
    play = Play(output=Literal(7), submit=False)
    assert only(play.submit(), FinishRun)
    assert (play.state.phase, play.state.output) == (RunPhase.SUCCEEDED, inline(7))


def test_one_branch_failing_skips_what_needs_it_and_leaves_the_others_running() -> None:
    play = Play(
        step("a"),
        step("bad", x=ref("a")),
        step("below", x=ref("bad")),
        step("lower", x=ref("below")),
        step("good", x=ref("a")),
        step("better", x=ref("good")),
        output=collection("lower", "better"),
    )
    play.run("a")
    play.fail("bad")
    assert play["below"].phase is Phase.SKIPPED
    assert play["below"].reason == "needs bad, which failed"
    assert play["lower"].reason == "needs below, which was skipped"
    play.run("good", "better")
    assert play["better"].phase is Phase.SUCCEEDED
    assert play.state.phase is RunPhase.FAILED
    assert play.state.reason == "bad failed: error: boom"
    assert play.state.output is None


def test_a_fan_in_with_one_failed_branch_is_skipped_only_when_all_branches_have_ended() -> None:
    play = Play(step("a"), step("b"), step("c", xs=collection("a", "b")))
    play.fail("a")
    assert play["c"].phase is Phase.WAITING
    play.run("b")
    assert play["c"].phase is Phase.SKIPPED


def test_an_output_that_does_not_need_the_failed_branch_is_kept() -> None:
    play = Play(step("a"), step("b"), output=ref("b"))
    play.run("b")
    play.fail("a")
    assert (play.state.phase, play.state.output) == (RunPhase.FAILED, stored("b"))


def test_several_failures_are_counted_in_the_reason() -> None:
    play = Play(step("a"), step("b"), step("c"))
    play.fail("b", "a", "c")
    assert play.state.reason == "a failed: error: boom (and 2 more)"


@pytest.mark.parametrize("cause", [Cause.ERROR, Cause.OUT_OF_MEMORY, Cause.TIMEOUT, Cause.SIGNAL])
def test_the_reason_of_a_failure_names_its_cause(cause: Cause) -> None:
    play = Play(step("a"))
    play.begin("a")
    play.end("a", cause, "here is why")
    assert play["a"].reason == f"{cause.value.replace('_', ' ')}: here is why"


def test_success_without_a_result_is_a_failure() -> None:
    play = Play(step("a"))
    play.begin("a")
    play.end("a", Cause.SUCCEEDED)
    assert (play["a"].phase, play["a"].reason) == (Phase.FAILED, "it ended without a result")


def test_a_run_is_submitted_once() -> None:
    play = Play(step("a"))
    play.run("a")
    state = play.state
    assert play.send(RunSubmitted(2000.0)) == []
    assert play.state is state

    running = Play(step("a"))
    running.grant("a")
    state = running.state
    assert running.send(RunSubmitted(2000.0)) == []
    assert running.state is state


def test_nothing_happens_before_a_run_is_submitted() -> None:
    play = Play(step("a"), submit=False)
    decision = decide(play.plan, play.state, CancelRequested(1.0, "too early"))
    assert (decision.state, decision.commands) == (play.state, ())


def test_times_are_those_of_the_events() -> None:
    play = Play(step("a"))
    play.time = 1010.0
    play.grant("a")
    play.time = 1020.0
    play.start("a")
    play.time = 1030.0
    play.succeed("a")
    node = play["a"]
    assert (node.created_at, node.started_at, node.ended_at) == (1000.0, 1010.0, 1030.0)
    assert (play.state.created_at, play.state.ended_at) == (1000.0, 1030.0)


def test_each_attempt_is_enqueued_and_launched_once() -> None:
    play = Play(step("a"), step("b", x=ref("a")))
    play.run("a", "b")
    assert sum(isinstance(command, Enqueue) for command in play.commands) == 2
    assert sum(isinstance(command, Launch) for command in play.commands) == 2
