"""A control plane that dies at any commit: the next ends the runs the same and repeats nothing finished."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from argosy.engine.events import AttemptEnded, Event
from argosy.engine.shell import Engine
from argosy.errors import Unavailable
from argosy.flow.graph import Graph, ResourceRequest, RetryRule
from argosy.runtime.protocol import AttemptId, Cause, Outcome

from .building import graph, ref, step
from .machine import Crash, Machine
from .test_shell import EXPECTED, FUNCTIONS, chain, everything, fan, shape


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "home", dict(FUNCTIONS))
    yield made
    made.close()


def flaky_functions() -> dict[str, Any]:
    """The functions of ``everything``, with one that fails the first time it is called."""
    failures = iter([True])

    def flaky(**arguments: Any) -> Any:
        if next(failures, False):
            raise ValueError("the first time")
        return FUNCTIONS["add"](**arguments)

    return FUNCTIONS | {"flaky": flaky}


def both() -> tuple[Graph, Graph]:
    """Two runs at once, of all kinds of nodes, one of them with a retry."""
    retried = step("r", x=ref("a"), function="flaky", retry=RetryRule(limit=2, backoff_seconds=7.0))
    return everything(), graph(step("a", function="one"), retried, step("e", x=ref("r"), function="add"))


def finished(machine: Machine, run: str) -> set[str]:
    """The attempts that are recorded to have succeeded."""
    events = [msgspec.json.decode(row.body, type=Event) for row in machine.store.events(run)]
    return {
        event.attempt
        for event in events
        if isinstance(event, AttemptEnded) and event.outcome.cause is Cause.SUCCEEDED
    }


def undisturbed(tmp_path: Path) -> tuple[int, dict[str, Any]]:
    machine = Machine(tmp_path / "undisturbed", flaky_functions())
    machine.run(*both())
    expected = {run: (shape(machine, run), machine.output(run)) for run in ("r0", "r1")}
    writes = machine.watched.writes
    machine.close()
    return writes, expected


@pytest.mark.parametrize("where", ["crash before", "crash after"])
@pytest.mark.parametrize("processes", ["live on", "die too"])
def test_a_crash_at_any_commit_changes_nothing_but_the_time(
    tmp_path: Path, where: str, processes: str
) -> None:
    writes, expected = undisturbed(tmp_path)
    assert writes > 8
    for at in range(1, writes + 1):
        machine = Machine(tmp_path / f"home-{at}", flaky_functions())
        machine.plan = lambda n, at=at: where if n == at else ""  # type: ignore[misc]
        if processes == "die too":
            machine.on_crash = machine.launcher.kill_all
        machine.run(*both())
        found = {run: (shape(machine, run), machine.output(run)) for run in ("r0", "r1")}
        assert found == expected
        assert machine.output("r0") == EXPECTED
        check_nothing_finished_ran_again(machine, processes)
        assert machine.launcher.most <= 2.0
        assert machine.launcher.specs == {}
        assert machine.launcher.unacknowledged == {}
        machine.close()


def check_nothing_finished_ran_again(machine: Machine, processes: str) -> None:
    for run in ("r0", "r1"):
        if processes == "live on":
            # Its end may be told twice, when the crash came before the acknowledgement.
            assert all(machine.launcher.calls[attempt] == 1 for attempt in finished(machine, run))
        sequences = [event.sequence for event in machine.store.events(run)]
        assert sequences == list(range(1, len(sequences) + 1))
        attempts = machine.store.attempts(run)
        good = Counter(record.node for record in attempts if record.cause == "succeeded")
        assert all(count == 1 for node, count in good.items() if node != "s"), good
        assert all(record.state == "ended" for record in attempts)


@pytest.mark.parametrize("where", ["crash before", "crash after"])
def test_crashes_one_after_the_other_still_let_the_run_end(tmp_path: Path, where: str) -> None:
    machine = Machine(tmp_path / "home", flaky_functions())
    machine.plans = lambda: lambda n: where if n == 2 else ""
    machine.run(*both())
    assert machine.output("r0") == EXPECTED
    assert machine.starts > 5
    machine.close()


def test_a_cancellation_that_was_committed_is_carried_out_after_a_crash(machine: Machine) -> None:
    machine.launcher.held.add("one")

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", fan(2), "me")
        await machine.launcher.began.wait()
        machine.crash_at_next("crash after")
        engine.cancel("r0", "cancelled by a user")
        await machine.settle(engine)
        assert machine.launcher.stops == []
        engine = await machine.start()
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    assert machine.launcher.stops == [("r0:a:1", Cause.CANCELLED)]
    assert machine.state() == "cancelled"


def test_what_runs_of_any_run_holds_its_room_before_anything_is_granted(machine: Machine) -> None:
    machine.launcher.held |= {"one", "add"}
    whole = {"resources": ResourceRequest(cpu=2.0)}

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", graph(step("first", function="one", **whole)), "me")
        engine.submit("r1", graph(step("second", function="one", **whole)), "me")
        await asyncio.sleep(0.5)
        machine.launcher.release("one")
        machine.launcher.held.add("one")
        await asyncio.sleep(0.5)
        assert list(machine.launcher.specs) == [("r1:second:1", 1)]
        engine.submit("r2", graph(step("third", function="one", **whole)), "me")
        machine.die()
        engine = await machine.start()
        assert engine.waiting_reason("r2", graph(step("third")).nodes[0].id).startswith("next in line")
        await asyncio.sleep(0.5)
        machine.launcher.release("one")
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    assert machine.launcher.most == 2.0
    assert [machine.state(f"r{n}") for n in range(3)] == ["succeeded"] * 3


def test_a_result_reported_before_the_recovery_is_taken(machine: Machine) -> None:
    """Between the runtime's start and the engine's recovery, the loop may run for as long as it likes."""
    machine.launcher.held.add("one")

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", chain(2), "me")
        await machine.launcher.began.wait()
        machine.die()
        machine.launcher.release("one")
        engine = machine.build()
        alive = machine.launcher.connect(engine)
        await asyncio.sleep(1.0)
        assert machine.launcher.unacknowledged != {}
        engine.recover(alive)
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    assert machine.launcher.calls == {"r0:a0:1": 1, "r0:a1:1": 1}
    assert machine.state() == "succeeded"


def test_nothing_is_accepted_before_the_recovery(machine: Machine) -> None:
    async def body() -> None:
        engine = machine.build()
        with pytest.raises(Unavailable, match="not up"):
            engine.submit("r0", chain(1), "me")
        engine.close()

    machine.play(body)
    assert machine.store.run("r0") is None


def test_a_clean_stop_keeps_what_was_reported_and_starts_nothing_more(machine: Machine) -> None:
    machine.launcher.held.add("one")

    async def body() -> Engine:
        engine = await machine.start()
        engine.submit("r0", chain(2), "me")
        await machine.launcher.began.wait()
        key = (AttemptId("r0:a0:1"), 1)
        machine.launcher.end(key, Outcome(Cause.SUCCEEDED), machine.artifacts.put_json(1))
        engine.close()
        assert set(machine.launcher.launches) == {"r0:a0:1"}
        # The runtime ends what is left, and says so to nobody.
        machine.launcher.end((AttemptId("r0:a1:1"), 1), Outcome(Cause.CANCELLED))
        await asyncio.sleep(1.0)
        return engine

    machine.play(body)
    assert machine.state() == "running"
    machine.launcher.held.clear()
    machine.resume()
    assert machine.state() == "succeeded"
    assert machine.launcher.calls == {"r0:a1:1": 1}


def test_what_ran_and_is_gone_counts_as_lost_and_runs_again(machine: Machine) -> None:
    machine.launcher.held.add("one")

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", chain(1), "me")
        await asyncio.sleep(0.5)
        machine.die()
        machine.launcher.kill_all()
        machine.launcher.held.clear()
        engine = await machine.start()
        await machine.settle(engine)
        engine.close()

    machine.play(body)
    attempts = machine.store.attempts("r0")
    assert [(a.number, a.cause) for a in attempts] == [(1, "lost"), (2, "succeeded")]
    assert attempts[0].message == "it was gone when the control plane came back"


def test_what_runs_for_a_run_that_is_over_is_stopped(machine: Machine) -> None:
    machine.launcher.held.add("one")

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", chain(1), "me")
        await machine.launcher.began.wait()
        machine.die()
        record = machine.store.run("r0")
        assert record is not None
        machine.store.write([msgspec.structs.replace(record, state="failed")])
        engine = await machine.start()
        await asyncio.sleep(0.5)
        engine.close()

    machine.play(body)
    assert machine.launcher.stops == [("r0:a0:1", Cause.CANCELLED)]
    assert (machine.launcher.specs, machine.launcher.unacknowledged) == ({}, {})


def test_a_backoff_goes_on_from_where_it_was(machine: Machine) -> None:
    machine.launcher.functions |= flaky_functions()
    node = step("a", function="flaky", retry=RetryRule(limit=1, backoff_seconds=40.0))

    async def body() -> None:
        engine = await machine.start()
        engine.submit("r0", graph(node), "me")
        await asyncio.sleep(10.0)
        machine.die()
        await asyncio.sleep(10.0)
        started = machine.clock.now()
        engine = await machine.start()
        await machine.settle(engine)
        assert 19.0 < machine.clock.now() - started < 21.0
        engine.close()

    machine.play(body)
    assert machine.state() == "succeeded"


def test_the_machine_itself_really_crashes(machine: Machine) -> None:
    async def body() -> None:
        await machine.start()
        machine.crash_at_next("crash before")
        with pytest.raises(Crash):
            machine.watched.write([])
        with pytest.raises(Crash):
            machine.watched.unfinished_runs()

    machine.play(body)
