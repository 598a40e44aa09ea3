"""Memo hits and misses, what a key is made of, and what is remembered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.engine.commands import Enqueue, LookUpMemo, Remember
from argosy.engine.events import MemoFound, MemoMissed
from argosy.engine.memo import explain_miss, memo_key, memo_parts
from argosy.engine.state import Phase, RunPhase
from argosy.flow.graph import CodeIdentity, MemoizeRule, NodeId, ResourceRequest, RetryRule

from .building import Play, arriving, inline, many, only, ref, step, stored


def test_a_hit_ends_the_node_without_an_attempt() -> None:
    play = Play(step("a", memoize=True), step("b", x=ref("a")))
    play.found("a", stored("kept"))
    assert (play["a"].phase, play["a"].attempt, play["a"].memo_reason) == (Phase.CACHED, 0, "as before")
    play.run("b")
    assert play.launched("b").inputs == {"x": stored("kept")}


def test_a_hit_is_not_remembered_again() -> None:
    play = Play(step("a", memoize=True))
    play.found("a")
    assert not any(isinstance(command, Remember) for command in play.commands)


def test_a_miss_queues_the_node_and_its_result_is_remembered_under_the_key_asked_for() -> None:
    play = Play(step("a", memoize=MemoizeRule(max_age_seconds=60.0, version="2")))
    look_up = only(play.commands, LookUpMemo)
    assert look_up.max_age_seconds == 60.0
    only(play.missed("a"), Enqueue)
    play.begin("a")
    remember = only(play.succeed("a"), Remember)
    assert (remember.key, remember.parts, remember.output) == (look_up.key, look_up.parts, stored("a"))
    assert play["a"].memo_reason == "first time"


def test_a_failure_is_not_remembered() -> None:
    play = Play(step("a", memoize=True))
    play.missed("a")
    play.fail("a")
    assert not any(isinstance(command, Remember) for command in play.commands)


def test_a_retry_does_not_ask_again() -> None:
    play = Play(step("a", memoize=True, retry=RetryRule(limit=1)))
    play.missed("a")
    play.fail("a")
    only(play.elapse("a"), Enqueue)


def test_steps_that_are_not_memoized_ask_nothing() -> None:
    play = Play(step("a"))
    play.run("a")
    assert not any(isinstance(command, LookUpMemo | Remember) for command in play.commands)


@pytest.mark.parametrize("answer", [MemoFound, MemoMissed])
def test_an_answer_under_another_key_is_dropped(answer: Any) -> None:
    play = Play(step("a", memoize=True))
    state = play.state
    if answer is MemoFound:
        play.send(MemoFound(play.time, NodeId("a"), "0ther", stored("a"), "why"))
    else:
        play.send(MemoMissed(play.time, NodeId("a"), "0ther", "why"))
    assert play.state is state


def test_a_second_answer_is_dropped() -> None:
    play = Play(step("a", memoize=True), step("b"))
    play.found("a")
    state = play.state
    play.missed("a")
    play.found("a", stored("other"))
    assert play.state is state


def test_a_consumer_that_was_asked_for_with_less_remembers_what_it_ran_on() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p", "q"), memoize=True))
    play.run("p")
    play.missed("c")
    play.run("q")  # while c waits for room
    play.begin("c")
    remember = only(play.succeed("c"), Remember)
    step_node = play.plan.step_of(NodeId("c"))
    whole = {"xs": many(stored("p"), stored("q"))}
    assert remember.key == memo_key(step_node, memo_parts(step_node, whole))


def test_a_consumer_whose_inputs_move_on_while_it_runs_remembers_nothing_then() -> None:
    play = Play(step("p"), step("q"), step("c", xs=arriving("p", "q"), memoize=True))
    play.run("p")
    play.missed("c")
    play.begin("c")
    play.run("q")
    assert not any(isinstance(command, Remember) for command in play.succeed("c"))
    play.found("c", stored("all"))
    assert play.state.output == stored("all")


def test_inputs_that_move_away_and_back_are_not_confused() -> None:
    """d is asked for on x1, runs on x2, and ends when its input is x1 again."""
    play = Play(
        step("p"),
        step("q"),
        step("r"),
        step("c", xs=arriving("p", "q", "r")),
        step("d", x=ref("c"), memoize=True),
    )
    play.run("p")
    play.begin("c")
    play.succeed("c", stored("x1"))
    play.missed("d")
    play.run("q")
    play.begin("c")
    play.succeed("c", stored("x2"))
    play.begin("d")
    assert play.launched("d").inputs == {"x": stored("x2")}
    play.run("r")
    play.begin("c")
    play.succeed("c", stored("x1"))
    assert not any(isinstance(command, Remember) for command in play.succeed("d", stored("of x2")))


def key(inputs: dict[str, Any] | None = None, **changes: Any) -> str:
    node = step("a", memoize=MemoizeRule())
    code = CodeIdentity("d1", {"function a": "f1", "helper h": "h1"})
    node = msgspec.structs.replace(node, **({"code": code} | changes))
    return memo_key(node, memo_parts(node, {"x": stored("in")} if inputs is None else inputs))


@pytest.mark.parametrize(
    "changed",
    [
        key({"x": stored("other")}),
        key({"x": stored("in", "numpy")}),
        key({"x": many(stored("in"))}),
        key({"y": stored("in")}),
        key({"x": stored("in"), "y": inline(None)}),
        key(step="b"),
        key(output="numpy"),
        key(memoize=MemoizeRule(version="2")),
        key(code=CodeIdentity("d2", {"function a": "f1", "helper h": "h2"})),
    ],
)
def test_a_key_changes_with_what_the_result_depends_on(changed: str) -> None:
    assert changed != key()


@pytest.mark.parametrize(
    "same",
    [
        key(),
        key(memoize=MemoizeRule(max_age_seconds=5.0)),
        key(resources=ResourceRequest(cpu=4.0)),
        key(label="a(x)", line=7, priority=3, timeout_seconds=9.0),
        key(retry=RetryRule(limit=3), preload=("tensorflow",), id=NodeId("a-2")),
    ],
)
def test_a_key_does_not_change_with_how_the_result_is_made(same: str) -> None:
    assert same == key()


@pytest.mark.parametrize(
    ("latest", "sentence"),
    [
        (None, "no earlier result of this step"),
        ({"code f": "1", "code": "1", "input x": "1"}, "the earlier result was dropped"),
        ({"code f": "2", "code": "2", "input x": "1"}, "changed since the latest result: code f"),
        ({"code f": "1", "code": "2", "input x": "1"}, "changed since the latest result: code"),
        ({"code f": "1", "code": "1"}, "changed since the latest result: input x"),
    ],
)
def test_a_miss_says_what_differs(latest: dict[str, str] | None, sentence: str) -> None:
    assert explain_miss({"code f": "1", "code": "1", "input x": "1"}, latest) == sentence


def test_a_run_of_hits_only_succeeds() -> None:
    play = Play(step("a", memoize=True), step("b", x=ref("a"), memoize=True))
    play.found("a")
    play.found("b")
    assert play.state.phase is RunPhase.SUCCEEDED
    assert play.state.output == stored("b")
