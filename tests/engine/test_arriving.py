"""The asynchronous pattern: a consumer runs again each time another result arrives."""

from __future__ import annotations

from argosy.artifacts.reference import Many
from argosy.engine.commands import Deploy
from argosy.engine.state import Phase, RunPhase
from argosy.flow.graph import Arriving, Literal, RetryRule
from argosy.runtime.protocol import Cause

from .building import Play, arriving, collection, many, nodes_of, only, ref, service, step, stored


def three(**options: object) -> Play:
    producers = [step("p"), step("q"), step("r")]
    return Play(*producers, step("c", xs=arriving("p", "q", "r"), **options), step("d", x=ref("c")))


def test_the_consumer_starts_with_the_first_result() -> None:
    play = three()
    play.begin("q")
    assert nodes_of(play.succeed("q")) == ["c"]
    play.grant("c")
    assert play.launched("c").inputs == {"xs": many(stored("q"))}


def test_it_runs_again_with_all_that_have_arrived_in_the_order_of_the_arguments() -> None:
    play = three()
    play.run("r", "c", "p")
    assert play.queued() == ["q", "c", "d"]
    play.grant("c")
    assert play.launched("c").inputs == {"xs": many(stored("p"), stored("r"))}


def test_what_arrives_while_it_runs_is_taken_together_in_one_further_run() -> None:
    play = three()
    play.run("p")
    play.begin("c")
    play.run("q", "r")
    assert play["c"].attempt == 1
    play.succeed("c")
    assert play["c"].attempt == 2
    play.grant("c")
    assert play.launched("c").inputs == {"xs": many(stored("p"), stored("q"), stored("r"))}


def test_what_arrives_while_it_waits_for_room_is_in_the_same_run() -> None:
    play = three()
    play.run("p", "q", "r")
    play.run("c")
    assert play.launched("c").inputs == {"xs": many(stored("p"), stored("q"), stored("r"))}
    assert play["c"].settled
    assert play["c"].attempt == 1


def test_an_equal_output_does_not_run_the_nodes_below_again() -> None:
    play = three()
    play.run("p", "c", "d", "q")
    play.begin("c")
    play.succeed("c", stored("c"))
    assert play["d"].phase is Phase.SUCCEEDED
    assert play["d"].attempt == 1
    play.fail("r")
    assert play["d"].settled


def test_a_different_output_runs_the_nodes_below_again() -> None:
    play = three()
    play.run("p", "c", "d", "q")
    play.begin("c")
    play.succeed("c", stored("better"))
    play.grant("d")
    assert play.launched("d").inputs == {"x": stored("better")}


def test_failing_on_a_partial_set_is_provisional() -> None:
    play = three()
    play.run("p")
    play.fail("c")
    assert (play["c"].phase, play["c"].settled) == (Phase.FAILED, False)
    assert play["d"].phase is Phase.WAITING
    assert play.state.failed == 0
    play.run("q", "r", "c", "d")
    assert play.state.phase is RunPhase.SUCCEEDED


def test_failing_on_the_whole_set_is_final() -> None:
    play = three()
    play.run("p", "q", "r")
    play.fail("c")
    assert play["d"].phase is Phase.SKIPPED
    assert play.state.phase is RunPhase.FAILED


def test_what_was_made_of_the_last_good_output_is_kept_when_the_final_run_fails() -> None:
    play = three()
    play.run("p", "c", "d", "q", "r")
    play.fail("c")
    assert (play["c"].phase, play["c"].output) == (Phase.FAILED, stored("c"))
    assert play["d"].phase is Phase.SUCCEEDED
    assert play.state.phase is RunPhase.FAILED
    assert play.state.reason == "c failed: error: boom"


def test_retries_begin_afresh_for_new_inputs() -> None:
    play = three(retry=RetryRule(limit=1))
    play.run("p")
    play.fail("c")
    play.elapse("c")
    play.fail("c")
    assert play["c"].phase is Phase.FAILED
    play.run("q")
    play.fail("c")
    assert play["c"].phase is Phase.BACKOFF
    assert play["c"].failures == 1


def test_failed_producers_are_skipped() -> None:
    play = three()
    play.fail("p")
    play.run("q", "r", "c", "d")
    assert play.launched("c").inputs == {"xs": many(stored("q"), stored("r"))}
    assert play["c"].settled
    assert play.state.phase is RunPhase.FAILED
    assert play.state.output == stored("d")


def test_a_producer_that_fails_last_settles_the_consumer_without_another_run() -> None:
    play = three()
    play.run("p", "q", "c", "d")
    assert not play["c"].settled
    play.fail("r")
    assert play["c"].settled
    assert play["c"].attempt == 1
    assert play["d"].settled


def test_with_no_producer_left_the_consumer_is_skipped() -> None:
    play = three()
    play.fail("p", "q", "r")
    assert play["c"].reason == "needs p, which failed"
    assert play["d"].phase is Phase.SKIPPED


def test_nothing_to_arrive_is_an_empty_list() -> None:
    play = Play(step("c", xs=Arriving(())))
    play.run("c")
    assert play.launched("c").inputs == {"xs": Many(())}
    assert play.state.phase is RunPhase.SUCCEEDED


def test_other_arguments_are_waited_for() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p"), y=ref("q"), k=Literal(1)))
    play.run("p")
    assert play["c"].phase is Phase.WAITING
    play.run("q", "c")
    assert play.state.phase is RunPhase.SUCCEEDED


def test_a_needed_argument_that_never_comes_skips_the_consumer() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p"), y=ref("q")))
    play.fail("q")
    assert play["c"].phase is Phase.SKIPPED
    play.run("p")
    assert play.state.phase is RunPhase.FAILED


def test_a_streaming_node_feeds_a_plain_fan_in_below_it() -> None:
    play = Play(
        step("p"),
        step("q"),
        step("s"),
        step("c", xs=arriving("p", "q")),
        step("d", xs=collection("c", "s")),
    )
    play.run("p", "c")
    assert play["d"].phase is Phase.WAITING
    play.run("s", "d")
    play.run("q")
    play.begin("c")
    play.succeed("c", stored("c2"))
    play.grant("d")
    assert play.launched("d").inputs == {"xs": many(stored("c2"), stored("s"))}


def test_a_lost_attempt_of_a_consumer_runs_again_with_what_has_arrived_since() -> None:
    play = three()
    play.run("p")
    play.begin("c")
    play.run("q")
    play.end("c", Cause.LOST)
    play.run("c")
    assert play.launched("c").inputs == {"xs": many(stored("p"), stored("q"))}


def test_an_ended_consumer_that_runs_again_has_not_ended() -> None:
    play = three()
    play.run("p", "c")
    assert play["c"].ended_at is not None
    play.begin("q")
    play.succeed("q")
    assert play["c"].ended_at is None


def test_a_service_grows_with_each_model_that_arrives() -> None:
    play = Play(step("p"), step("q"), service("svc", arriving("p", "q")))
    play.begin("p")
    deploy = only(play.succeed("p"), Deploy)
    assert (deploy.generation, deploy.models) == (1, many(stored("p")))
    play.ready("svc")
    assert not play["svc"].settled
    play.begin("q")
    deploy = only(play.succeed("q"), Deploy)
    assert (deploy.generation, deploy.models) == (2, many(stored("p"), stored("q")))
    play.ready("svc")
    assert play.state.phase is RunPhase.SUCCEEDED
