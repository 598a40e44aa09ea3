"""The durable shell on the real stores: what is committed, when, and what a failing store does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from argosy.engine import shell
from argosy.engine.events import Event
from argosy.errors import NotFound, Unavailable
from argosy.flow.graph import GangRule, Graph, Literal, MemoizeRule, ResourceRequest, RetryRule
from argosy.metadata.records import RunRecord
from argosy.runtime.protocol import AttemptId, Cause, Ended, Outcome, Reported, Sampled

from .building import arriving, collection, graph, ref, service, step
from .machine import Function, Machine


def add(**arguments: Any) -> Any:
    return sum(sum(v) if isinstance(v, list) else v for v in arguments.values())


def boom(**_: Any) -> Any:
    raise ValueError("boom")


FUNCTIONS: dict[str, Function] = {
    "one": lambda **_: 1,
    "add": add,
    "boom": boom,
    "count": lambda **_: [1, 2, 3],
}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "home", dict(FUNCTIONS))
    yield made
    made.close()


def chain(length: int, **options: Any) -> Graph:
    nodes = [step("a0", function="one", **options)]
    nodes += [step(f"a{i}", x=ref(f"a{i - 1}"), function="add", **options) for i in range(1, length)]
    return graph(*nodes)


def fan(width: int, **options: Any) -> Graph:
    names = [f"b{i}" for i in range(width)]
    middle = [step(name, x=ref("a"), function="add", **options) for name in names]
    return graph(
        step("a", function="one", **options),
        *middle,
        step("c", xs=collection(*names), function="add", **options),
    )


def test_a_run_is_recorded_with_its_nodes_attempts_artifacts_and_events(machine: Machine) -> None:
    machine.run(fan(3))
    assert (machine.state(), machine.output()) == ("succeeded", 3)
    nodes = machine.store.nodes("r0")
    assert [(node.node, node.state) for node in nodes] == [
        (name, "succeeded") for name in ("a", "b0", "b1", "b2", "c")
    ]
    attempts = machine.store.attempts("r0")
    assert {(a.node, a.number, a.state, a.cause) for a in attempts} == {
        (node.node, 1, "ended", "succeeded") for node in nodes
    }
    events = machine.store.events("r0")
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert {msgspec.json.decode(event.body, type=Event).__class__.__name__ for event in events} == {
        "RunSubmitted",
        "AttemptGranted",
        "AttemptStarted",
        "AttemptEnded",
    }
    output = msgspec.json.decode(nodes[-1].output or b"")
    assert machine.store.artifact(output["reference"]["digest"]) is not None


def test_many_ends_at_once_are_one_commit(machine: Machine) -> None:
    machine.cores = 1000.0
    machine.run(fan(200))
    assert machine.watched.writes < 12


def test_a_chain_costs_one_commit_a_step(machine: Machine) -> None:
    machine.run(chain(20))
    assert machine.watched.writes <= 22


def test_the_room_of_a_machine_is_never_exceeded(machine: Machine) -> None:
    machine.run(fan(9, resources=ResourceRequest(cpu=0.75)), fan(4, gang=GangRule(workers=2)))
    assert machine.launcher.most <= 2.0
    assert [machine.state(run) for run in ("r0", "r1")] == ["succeeded", "succeeded"]


def test_a_mapped_stored_list_is_read_and_joined(machine: Machine) -> None:
    nodes = [step("a", function="count"), step("m", x=ref("a"), map_over="x", function="add")]
    machine.run(graph(*nodes, step("s", xs=ref("m"), function="add")))
    assert machine.output() == 6
    assert "m[2]" in [node.node for node in machine.store.nodes("r0")]


def test_what_is_not_json_is_not_read_to_be_mapped_over(machine: Machine) -> None:
    value = machine.artifacts.put({"not": "for us"}, "pickle")

    machine.launcher.functions["secret"] = lambda **_: None
    machine.launcher.outputs["secret"] = value
    machine.run(graph(step("a", function="secret"), step("m", x=ref("a"), map_over="x", function="add")))
    assert machine.store.nodes("r0")[1].reason == "map needs a list, got an artifact of type pickle"


def test_a_second_run_takes_everything_from_the_memo_store(machine: Machine) -> None:
    machine.run(fan(3, memoize=MemoizeRule()), fan(3, memoize=MemoizeRule()))
    before = len(machine.launcher.calls)
    machine.run_more("again", fan(3, memoize=MemoizeRule()))
    assert len(machine.launcher.calls) == before
    assert {node.state for node in machine.store.nodes("again")} == {"cached"}
    assert machine.output("again") == 3
    assert "equal code and inputs: result of r" in machine.store.nodes("again")[0].memo


def test_a_hit_whose_artifact_is_gone_is_a_miss_that_says_so(machine: Machine) -> None:
    machine.run(chain(1, memoize=MemoizeRule()))
    output = machine.store.nodes("r0")[0].output
    reference = msgspec.json.decode(output or b"")["reference"]
    machine.artifacts.path(machine.reference(output)).unlink()
    machine.run_more("again", chain(1, memoize=MemoizeRule()))
    node = machine.store.nodes("again")[0]
    assert node.memo == f"the earlier result's artifact {reference['digest'][:12]} is gone"
    assert (node.state, machine.output("again")) == ("succeeded", 1)


def test_a_result_too_old_is_a_miss_that_says_how_old(machine: Machine) -> None:
    rule = MemoizeRule(max_age_seconds=60.0)
    machine.run(chain(1, memoize=rule))
    machine.clock.advance(3600)
    machine.run_more("again", chain(1, memoize=rule))
    assert machine.store.nodes("again")[0].memo == "the earlier result is 1h 00m old, over max_age 1m 00s"


def test_a_retry_waits_its_backoff_and_a_new_attempt_is_recorded(machine: Machine) -> None:
    tries = iter([ValueError("first"), None])

    def flaky(**_: Any) -> int:
        error = next(tries)
        if error:
            raise error
        return 5

    machine.launcher.functions["flaky"] = flaky
    before = machine.clock.now()
    machine.run(graph(step("a", function="flaky", retry=RetryRule(limit=2, backoff_seconds=30.0))))
    assert machine.clock.now() - before >= 30.0
    assert [(a.number, a.cause) for a in machine.store.attempts("r0")] == [(1, "error"), (2, "succeeded")]


def test_a_service_grows_while_its_models_arrive(machine: Machine) -> None:
    machine.launcher.held.add("add")
    nodes = [step("p", function="one"), step("q", function="add", k=Literal(2))]

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", graph(*nodes, service("svc", arriving("p", "q"))), "me")
        await machine.services.asked.wait()
        machine.launcher.release("add")
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    assert machine.services.deployed == {("r0", "svc", 1): 1, ("r0", "svc", 2): 2}
    assert machine.output() == {"name": "svc", "models": 2}


def test_cancelling_stops_what_runs_and_ends_the_run(machine: Machine) -> None:
    machine.launcher.held |= {"one"}

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", fan(2), "me")
        engine.cancel("r0", "cancelled by a user")
        await machine.settle(engine)
        with pytest.raises(NotFound):
            engine.cancel("r0", "again")
        engine.close()

    machine.play(body)
    assert machine.launcher.stops == [("r0:a:1", Cause.CANCELLED)]
    assert machine.state() == "cancelled"
    assert machine.store.attempts("r0")[0].cause == "cancelled"


# A store that fails.


def everything(flaky: str = "one") -> Graph:
    """All kinds of nodes in one graph."""
    rule = MemoizeRule()
    return graph(
        step("a", function="one", memoize=rule),
        step("b", x=ref("a"), function="add", retry=RetryRule(limit=1, backoff_seconds=5.0)),
        step("list", x=ref("a"), function="count"),
        step("m", x=ref("list"), k=ref("b"), map_over="x", function="add", memoize=rule),
        step("s", xs=arriving("a", "b"), ys=ref("m"), function="add", memoize=rule),
        step("bad", x=ref("a"), function="boom"),
        step("below", x=ref("bad"), function="add"),
        service("svc", arriving("a", "s", "bad")),
        step("end", x=ref("s"), function="add"),
        output=collection("end", "svc", "m"),
    )


EXPECTED = [11, {"models": 2, "name": "svc"}, [2, 3, 4]]


def shape(machine: Machine, run: str) -> list[tuple[str, str, str]]:
    return [(node.node, node.state, node.reason) for node in machine.store.nodes(run)]


def writes_of(tmp_path: Path, *graphs: Graph) -> tuple[int, list[tuple[str, str, str]]]:
    """How many commits the graphs take undisturbed, and how the nodes of the first end."""
    machine = Machine(tmp_path / "undisturbed", dict(FUNCTIONS))
    try:
        machine.run(*graphs)
        return machine.watched.writes, shape(machine, "r0")
    finally:
        machine.close()


@pytest.mark.parametrize("times", [1, 3])
def test_a_store_that_is_unavailable_at_any_commit_only_delays_the_run(tmp_path: Path, times: int) -> None:
    writes, expected = writes_of(tmp_path, everything())
    for failing in range(1, writes + 1):
        machine = Machine(tmp_path / f"home-{failing}", dict(FUNCTIONS))
        failures = range(failing, failing + times)
        machine.plan = lambda n, failures=failures: "unavailable" if n in failures else ""  # type: ignore[misc]
        machine.run(everything())
        assert machine.output() == EXPECTED
        assert shape(machine, "r0") == expected
        assert set(machine.launcher.calls.values()) == {1}
        assert machine.launcher.most <= 2.0
        assert machine.watched.writes >= writes + times
        events = machine.store.events("r0")
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        machine.close()


def test_a_run_that_can_not_be_committed_is_refused_and_leaves_nothing(machine: Machine) -> None:
    machine.plan = lambda n: "unavailable" if n == 1 else ""

    async def body() -> None:
        engine = await machine.start()
        with pytest.raises(Unavailable, match="the disk is full"):
            engine.submit("r0", chain(2), "me")
        assert engine.runs == {}
        assert engine.degraded == "the disk is full"
        engine.submit("r1", chain(2), "me")
        assert engine.degraded == ""
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    assert machine.store.run("r0") is None
    assert machine.state("r1") == "succeeded"
    assert all(attempt.startswith("r1:") for attempt in machine.launcher.calls)


def test_that_nothing_can_be_committed_is_said_once_and_that_it_can_again_too(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shell, "_RETRY_SECONDS", 0.001)
    machine.plan = lambda n: "unavailable" if 1 < n < 6 else ""
    shown: list[str] = []

    async def body() -> None:
        engine = await machine.start()
        show = engine._on_change

        def note(run: str) -> None:
            shown.append(engine.degraded)
            show(run)

        monkeypatch.setattr(engine, "_on_change", note)
        engine.submit("r0", chain(2), "me")
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    assert machine.state() == "succeeded"
    assert shown.count("the disk is full") == 1
    said = [record.getMessage() for record in caplog.records if "committed" in record.getMessage()]
    assert said == ["not committed, will be tried again: the disk is full", "what waited is committed"]


def test_a_memo_store_that_can_not_be_read_delays_the_run(machine: Machine) -> None:
    refusals = iter([True, True, False])

    async def body() -> None:
        engine = await machine.start()
        real = machine.watched.memos

        def memos(keys: Any) -> Any:
            if next(refusals, False):
                raise Unavailable("the database is busy")
            return real(keys)

        machine.watched.memos = memos  # type: ignore[attr-defined]
        with pytest.raises(Unavailable):
            engine.submit("r0", chain(2, memoize=MemoizeRule()), "me")
        with pytest.raises(Unavailable):
            engine.submit("r0", chain(2, memoize=MemoizeRule()), "me")
        engine.submit("r0", chain(2, memoize=MemoizeRule()), "me")
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    assert machine.state() == "succeeded"


# Faults of others, and of our own.


def test_a_launch_that_is_refused_counts_as_lost_and_is_bounded(machine: Machine) -> None:
    def launch(spec: Any) -> None:
        raise OSError("no more processes")

    machine.launcher.launch = launch  # type: ignore[method-assign]
    machine.run(chain(2))
    assert machine.state() == "failed"
    assert machine.store.nodes("r0")[0].reason == (
        "lost 6 times; the last time: lost: could not be started: no more processes"
    )


def test_a_deployment_that_is_refused_fails_its_node(machine: Machine) -> None:
    def deploy(*_: Any) -> None:
        raise Unavailable("no port is free")

    machine.services.deploy = deploy  # type: ignore[method-assign]
    machine.run(graph(step("a", function="one"), service("svc", collection("a"))))
    assert machine.store.nodes("r0")[1].reason == "could not be deployed: no port is free"


def test_a_fault_of_the_core_gives_up_one_run_and_leaves_the_others(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = shell.decide

    def faulty(plan: Any, state: Any, event: Any) -> Any:
        if plan.run == "r0" and state.nodes and getattr(event, "attempt", "").startswith("r0:b1"):
            raise ZeroDivisionError("a fault")
        return real(plan, state, event)

    monkeypatch.setattr(shell, "decide", faulty)
    with caplog.at_level(logging.CRITICAL):
        machine.run(fan(3), fan(3))
    assert [machine.state(run) for run in ("r0", "r1")] == ["failed", "succeeded"]
    record = machine.store.run("r0")
    assert record is not None
    assert record.reason == "given up: a fault in Argosy, ZeroDivisionError('a fault')"
    assert {node.state for node in machine.store.nodes("r0")} == {"succeeded", "cancelled"}
    assert machine.store.unfinished_runs() == []
    assert machine.launcher.specs == {}


def test_a_listener_that_raises_does_not_stop_the_engine(machine: Machine, caplog: Any) -> None:
    def raising() -> None:
        raise ValueError("the view is broken")

    machine.changed.set = raising  # type: ignore[method-assign]

    async def body() -> None:
        with caplog.at_level(logging.CRITICAL):
            engine = await machine.start()
            engine.submit("r0", chain(3), "me")
            await asyncio.sleep(1.0)
            engine.close()

    machine.play(body)
    assert machine.state() == "succeeded"


def test_telemetry_is_written_in_batches_and_shown_at_once(machine: Machine) -> None:
    machine.launcher.held.add("one")
    attempt = AttemptId("r0:a0:1")

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", chain(1), "me")
        await asyncio.sleep(0)
        writes = machine.watched.writes
        now = machine.clock.now()
        for number in range(50):
            body = {"step": number, "epoch": 1, "values": {"loss": 1.0 / (number + 1)}}
            engine.on_runtime_event(Reported(attempt, 1, 0, "metrics", body, now))
            engine.on_runtime_event(Sampled(attempt, 1, 0, 0.5, 1000 + number, now + number))
        progress = engine.telemetry.progress(attempt)
        assert progress is not None
        assert (progress.step, progress.metrics["loss"]) == (49, 0.02)
        await asyncio.sleep(0.5)
        assert machine.watched.writes <= writes + 2
        machine.launcher.release("one")
        await machine.settle(engine)
        assert engine.telemetry.progress(attempt) is None
        engine.close()

    machine.play(body)
    assert len(machine.store.metrics(attempt)) == 50
    assert len(machine.store.samples(attempt)) == 50


def test_an_end_of_a_run_that_is_over_is_acknowledged(machine: Machine) -> None:
    async def body() -> None:
        engine = await machine.start()
        key = (AttemptId("gone:a:1"), 1)
        ended = Ended(*key, Outcome(Cause.ERROR), machine.clock.now())
        machine.launcher.unacknowledged[key] = ended
        engine.on_runtime_event(ended)
        await asyncio.sleep(0)
        assert machine.launcher.unacknowledged == {}
        engine.close()

    machine.play(body)


@pytest.mark.parametrize(
    ("attempt", "ours"),
    [("r:a:1", True), ("r:m[0]:2", True), ("service-x-1", False), ("gateway-1", False), ("a:b", False)],
)
def test_the_engine_knows_its_own_attempts(machine: Machine, attempt: str, ours: bool) -> None:
    async def body() -> bool:
        engine = await machine.start()
        owned = engine.owns(AttemptId(attempt))
        engine.close()
        return owned

    assert machine.play(body) is ours


def test_a_waiting_node_says_what_it_waits_for(machine: Machine) -> None:
    machine.launcher.held.add("one")

    async def body() -> tuple[str, str, str]:
        engine = await machine.start()
        nodes = [step(f"x{i}", function="one") for i in range(4)]
        engine.submit("r0", graph(*nodes), "me")
        reasons = tuple(engine.waiting_reason("r0", node.id) for node in nodes[1:])
        machine.launcher.release("one")
        machine.launcher.held.clear()
        await machine.settle(engine)
        engine.close()
        return reasons  # type: ignore[return-value]

    running, head, second = machine.play(body)
    assert running == ""
    assert head == "next in line; needs 1 cpu, free are 0 cpu"
    assert second == "number 2 in line; needs 1 cpu"


def test_the_row_of_a_run_that_can_not_be_read_back_does_not_stop_the_others(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.store.write([RunRecord("torn", "flow", "running", 1.0, b"{not a graph")])
    machine.launcher.held.add("one")

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", chain(2), "me")
        machine.launcher.release("one")
        await machine.settle(engine)
        engine.close()

    with caplog.at_level(logging.CRITICAL):
        machine.play(body)
    torn = machine.store.run("torn")
    assert torn is not None
    assert torn.state == "failed"
    assert torn.reason.startswith("can not be resumed: ")
    assert machine.state() == "succeeded"
