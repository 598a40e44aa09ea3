"""Fan-out over a list known only at run time."""

from __future__ import annotations

import pytest

from argosy.artifacts.reference import Value
from argosy.engine.commands import Enqueue, ReadList
from argosy.engine.events import MapRefused
from argosy.engine.state import Phase, RunPhase
from argosy.flow.graph import Argument, Literal, NodeId
from argosy.runtime.protocol import Cause

from .building import Play, arriving, collection, inline, many, nodes_of, only, ref, step, stored


def mapped(over: Argument, **options: object) -> Play:
    return Play(step("a"), step("b"), step("m", x=over, k=Literal(2), map_over="x", **options))


@pytest.mark.parametrize(
    ("output", "items"),
    [
        (many(stored("p"), stored("q")), [stored("p"), stored("q")]),
        (inline([1, {"k": 2}]), [inline(1), inline({"k": 2})]),
        (many(many(stored("p")), inline(3)), [many(stored("p")), inline(3)]),
    ],
)
def test_items_that_are_at_hand_become_instances_at_once(output: Value, items: list[Value]) -> None:
    play = mapped(ref("a"))
    play.begin("a")
    assert nodes_of(play.succeed("a", output)) == ["m[0]", "m[1]"]
    assert play["m"].phase is Phase.MAPPED
    for index, item in enumerate(items):
        play.grant(f"m[{index}]")
        assert play.launched(f"m[{index}]").inputs == {"x": item, "k": inline(2)}


def test_a_collection_of_nodes_is_mapped_over_its_outputs() -> None:
    play = mapped(collection("b", "a"))
    play.run("a", "b")
    play.grant("m[0]")
    assert play.launched("m[0]").inputs["x"] == stored("b")


def test_a_stored_list_is_read_first() -> None:
    play = mapped(ref("a"))
    play.begin("a")
    command = only(play.succeed("a"), ReadList)
    assert (command.node, command.value) == ("m", stored("a"))
    assert play["m"].phase is Phase.EXPANDING
    assert nodes_of(play.expand("m", inline(1), inline(2))) == ["m[0]", "m[1]"]


def test_the_output_is_the_list_of_outputs_in_order_of_the_items() -> None:
    play = mapped(ref("a"))
    play.run("b")
    play.begin("a")
    play.succeed("a", inline([1, 2, 3]))
    play.run("m[2]", "m[0]")
    assert play["m"].pending == 1
    play.run("m[1]")
    assert play["m"].output == many(stored("m[0]"), stored("m[1]"), stored("m[2]"))
    assert play.state.output == play["m"].output


@pytest.mark.parametrize("empty", [inline([]), many()])
def test_an_empty_list_gives_an_empty_list(empty: Value) -> None:
    play = Play(step("a"), step("m", x=ref("a"), map_over="x"), step("c", xs=ref("m")))
    play.begin("a")
    play.succeed("a", empty)
    assert (play["m"].phase, play["m"].output) == (Phase.SUCCEEDED, many())
    play.run("c")
    assert play.launched("c").inputs == {"xs": many()}


def test_a_stored_empty_list_gives_an_empty_list() -> None:
    play = mapped(ref("a"))
    play.run("a", "b")
    play.expand("m")
    assert play.state.output == many()


def test_one_failing_instance_lets_the_others_end_and_then_fails_the_node() -> None:
    play = Play(step("a"), step("m", x=ref("a"), map_over="x"), step("c", xs=ref("m")))
    play.begin("a")
    play.succeed("a", inline([1, 2, 3]))
    play.fail("m[1]")
    assert play["m"].phase is Phase.MAPPED
    play.run("m[0]", "m[2]")
    assert play["m"].reason == "1 of 3 failed; item 1: error: boom"
    assert play["c"].phase is Phase.SKIPPED
    assert play.state.failed == 1


def test_instances_are_retried_one_by_one() -> None:
    from argosy.flow.graph import RetryRule

    play = mapped(ref("a"), retry=RetryRule(limit=1))
    play.run("b")
    play.begin("a")
    play.succeed("a", inline([1, 2]))
    play.fail("m[0]")
    assert play["m[0]"].phase is Phase.BACKOFF
    play.run("m[1]")
    play.elapse("m[0]")
    play.run("m[0]")
    assert play.state.phase is RunPhase.SUCCEEDED


@pytest.mark.parametrize("value", [{"not": "a list"}, 7, "text", None])
def test_what_is_not_a_list_fails_the_node_and_says_so(value: object) -> None:
    play = mapped(ref("a"))
    play.run("b")
    play.begin("a")
    play.succeed("a", inline(value))
    assert play["m"].phase is Phase.FAILED
    assert play["m"].reason.startswith("map needs a list, got ")


def test_a_list_that_can_not_be_read_fails_the_node() -> None:
    play = mapped(ref("a"))
    play.run("a", "b")
    play.send(MapRefused(play.time, NodeId("m"), "the artifact is torn"))
    assert (play["m"].phase, play["m"].reason) == (Phase.FAILED, "the artifact is torn")


def test_a_second_answer_about_the_list_changes_nothing() -> None:
    play = mapped(ref("a"))
    play.run("a", "b")
    play.expand("m", inline(1))
    state = play.state
    assert play.expand("m", inline(1), inline(2)) == []
    assert play.send(MapRefused(play.time, NodeId("m"), "too late")) == []
    assert play.state is state


def test_memoized_instances_are_looked_up_each_and_a_map_of_hits_is_cached() -> None:
    play = mapped(ref("a"), memoize=True)
    play.run("b")
    play.begin("a")
    play.succeed("a", inline([1, 2]))
    assert play["m[0]"].memo_key != play["m[1]"].memo_key
    play.found("m[0]")
    play.found("m[1]")
    assert play["m"].phase is Phase.CACHED


def test_a_map_fed_by_arriving_is_expanded_again_with_numbers_that_go_on() -> None:
    play = mapped(arriving("a", "b"))
    play.run("a")
    play.run("m[0]")
    assert play["m"].output == many(stored("m[0]"))
    assert not play["m"].settled
    play.run("b")
    assert play["m[0]"].attempt == 2
    play.run("m[1]")
    play.begin("m[0]")
    play.succeed("m[0]")
    assert play["m"].output == many(stored("m[0]"), stored("m[1]"))
    assert play.state.phase is RunPhase.SUCCEEDED


def test_a_late_report_of_an_instance_of_an_earlier_expansion_is_dropped() -> None:
    play = mapped(arriving("a", "b"))
    play.run("a", "m[0]", "b")
    state = play.state
    commands = play.end("m[0]", Cause.SUCCEEDED, output=stored("old"), number=1)
    assert play.state is state
    assert [type(command).__name__ for command in commands] == ["Withdraw"]
    assert not any(isinstance(command, Enqueue) for command in commands)
