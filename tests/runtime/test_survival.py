"""What happens when someone is killed: the launcher, the control plane, a template, a child."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from argosy.runtime import addresses, linux
from argosy.runtime.protocol import Cause, Ended

from .world import PATIENCE_SECONDS, Watched, World, program, run

WAITS = """
import os, subprocess, time
import argosy.reporting as reporting

def waits_for_file():
    reporting.current().report("listening", {"port": 4711})
    reporting.current().metrics(step=1, loss=0.5)
    while not os.path.exists(os.environ["GO_ON"]):
        time.sleep(0.005)
    return "went on"

def quick():
    return "quick"

def waits_with_company():
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["setsid", "sleep", "600"])
    reporting.current().report("event", {"message": "ready"})
    time.sleep(600)
"""

CONTROL_PLANE = """
import asyncio, sys
from pathlib import Path
import msgspec
from argosy.home import Home
from argosy.runtime.protocol import AttemptSpec, Started
from argosy.runtime.runtime import Runtime

def heard(event):
    if isinstance(event, Started):
        print(event.attempt, flush=True)

async def main():
    runtime = Runtime(Home(Path(sys.argv[1])), heard)
    await runtime.start()
    for spec in msgspec.json.decode(sys.argv[2], type=list[AttemptSpec]):
        runtime.launch(spec)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def launcher_of(world: World) -> int:
    record = addresses.read_record(world.home)
    assert record is not None
    return record.pid


def companions(world: World) -> list[int]:
    """What ``waits_with_company`` has started."""
    return [pid for pid in world.processes() if program(pid) in ("sleep", "setsid")]


def test_attempts_survive_a_killed_control_plane_and_their_ends_are_told_to_the_next(
    world: World, tmp_path: Path
) -> None:
    digest = world.source(WAITS)
    go_on = {"GO_ON": str(tmp_path / "go")}
    long = world.step(digest, "waits_for_file", environment=go_on, timeout_seconds=60)
    short = world.step(digest, "quick")
    specs = msgspec.json.encode([long, short]).decode()
    with subprocess.Popen(
        [sys.executable, "-c", CONTROL_PLANE, str(world.home.root), specs], stdout=subprocess.PIPE, text=True
    ) as control:
        assert control.stdout is not None
        assert {control.stdout.readline().strip() for _ in range(2)} == {long.attempt, short.attempt}
        control.kill()

    async def main() -> None:
        async with world.running() as watched:
            assert world.value(await watched.ended(short.attempt)) == "quick"
            assert (await watched.reported(long.attempt, "listening")).body == {"port": 4711}
            (tmp_path / "go").touch()
            assert world.value(await watched.ended(long.attempt)) == "went on"

    run(main())


def test_a_runtime_that_comes_back_is_told_what_lives_and_what_ended_until_it_acknowledges(
    world: World, tmp_path: Path
) -> None:
    async def main() -> None:
        first = Watched(world.home, acknowledge=False)
        assert await first.runtime.start() == frozenset()
        digest = world.source(WAITS)
        long = world.step(digest, "waits_for_file", environment={"GO_ON": str(tmp_path / "go")})
        short = world.step(digest, "quick", token=7)
        first.runtime.launch(long)
        await first.reported(long.attempt, "metrics")
        await first.run(short)
        await first.runtime.detach()

        second = Watched(world.home)
        assert await second.runtime.start() == {(long.attempt, 1), (short.attempt, 7)}
        ended = await second.ended(short.attempt)
        assert (ended.token, world.value(ended)) == (7, "quick")
        assert (await second.started(long.attempt)).processes == (await first.started(long.attempt)).processes
        second.runtime.launch(long)
        await second.runtime.detach()

        third = Watched(world.home)
        assert await third.runtime.start() == {(long.attempt, 1)}
        (tmp_path / "go").touch()
        assert world.value(await third.ended(long.attempt)) == "went on"
        await third.runtime.shut_down()
        world.assert_nothing_left()

    run(main())


def test_what_happens_while_nobody_listens_is_told_later(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        first = Watched(world.home)
        await first.runtime.start()
        spec = world.step(WAITS, "waits_for_file", environment={"GO_ON": str(tmp_path / "go")})
        first.runtime.launch(spec)
        await first.runtime.detach()
        (tmp_path / "go").touch()
        async with world.running() as second:
            ended = await second.ended(spec.attempt)
            assert world.value(ended) == "went on"
            assert (await second.started(spec.attempt)).processes
            assert (await second.reported(spec.attempt, "metrics")).body["step"] == 1

    run(main())


def test_a_killed_launcher_takes_everything_with_it_and_another_goes_on(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            digest = world.source(WAITS)
            spec = world.step(digest, "waits_with_company")
            watched.runtime.launch(spec)
            await watched.reported(spec.attempt, "event")
            # One that is being replaced by the next program has no name for a moment.
            while len(left := companions(world)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
            os.kill(launcher_of(world), 9)
            outcome = (await watched.ended(spec.attempt)).outcome
            assert outcome.cause is Cause.LOST
            assert [pid for pid in left if linux.start_ticks(pid) is not None] == []
            assert world.value(await watched.run(world.step(digest, "quick"))) == "quick"
            assert len(watched.of(Ended, spec.attempt)) == 1

    run(main())


def test_what_a_launcher_left_that_died_unseen_is_ended_before_another_starts(world: World) -> None:
    async def main() -> None:
        first = Watched(world.home)
        await first.runtime.start()
        spec = world.step(WAITS, "waits_with_company")
        first.runtime.launch(spec)
        await first.reported(spec.attempt, "event")
        await first.runtime.detach()
        left = companions(world)
        os.kill(launcher_of(world), 9)
        async with world.running() as second:
            assert [pid for pid in left if linux.start_ticks(pid) is not None] == []
            assert world.value(await second.run(world.step(WAITS, "quick"))) == "quick"

    run(main())


def test_launches_during_the_loss_of_the_launcher_are_carried_out_by_the_next(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            os.kill(launcher_of(world), 9)
            for number in range(5):
                spec = world.step(WAITS, "quick", attempt=f"quick-{number}")
                watched.runtime.launch(spec)
            for number in range(5):
                cause = (await watched.ended(f"quick-{number}")).outcome.cause
                assert cause in (Cause.SUCCEEDED, Cause.LOST)
            assert world.value(await watched.run(world.step(WAITS, "quick"))) == "quick"

    run(main())


def test_a_killed_child_ends_its_own_attempt_only(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        async with world.running() as watched:
            go_on = {"GO_ON": str(tmp_path / "go")}
            digest = world.source(WAITS)
            one, two = (world.step(digest, "waits_for_file", environment=go_on) for _ in range(2))
            watched.runtime.launch(one)
            watched.runtime.launch(two)
            os.kill((await watched.started(one.attempt)).processes[0][0], 9)
            assert (await watched.ended(one.attempt)).outcome.cause is Cause.SIGNAL
            (tmp_path / "go").touch()
            assert world.value(await watched.ended(two.attempt)) == "went on"

    run(main())


def test_killed_templates_touch_no_attempt_and_come_again(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        async with world.running() as watched:
            digest = world.source(WAITS)
            spec = world.step(digest, "waits_for_file", environment={"GO_ON": str(tmp_path / "go")})
            watched.runtime.launch(spec)
            attempt = (await watched.started(spec.attempt)).processes[0][0]
            await watched.reported(spec.attempt, "listening")
            templates = [pid for pid in world.processes() if os.getsid(pid) == pid]
            for pid in set(templates) - {launcher_of(world), attempt}:
                os.kill(pid, 9)
            assert world.value(await watched.run(world.step(digest, "quick"))) == "quick"
            (tmp_path / "go").touch()
            assert world.value(await watched.ended(spec.attempt)) == "went on"

    run(main())


def test_a_second_control_plane_replaces_the_first(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        first = Watched(world.home)
        await first.runtime.start()
        spec = world.step(WAITS, "waits_for_file", environment={"GO_ON": str(tmp_path / "go")})
        first.runtime.launch(spec)
        await first.started(spec.attempt)
        async with world.running() as second:
            (tmp_path / "go").touch()
            assert world.value(await second.ended(spec.attempt)) == "went on"
        await first.runtime.detach()

    run(main())


def test_a_timeout_holds_while_the_control_plane_is_away(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        first = Watched(world.home)
        await first.runtime.start()
        go_on = {"GO_ON": str(tmp_path / "go")}
        spec = world.step(WAITS, "waits_for_file", environment=go_on, timeout_seconds=0.2)
        first.runtime.launch(spec)
        pid = (await first.started(spec.attempt)).processes[0][0]
        await first.runtime.detach()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while linux.start_ticks(pid) is not None:
            assert time.monotonic() < deadline
            os.sched_yield()
        async with world.running() as second:
            assert (await second.ended(spec.attempt)).outcome.cause is Cause.TIMEOUT

    run(main())


def test_a_shut_down_ends_what_runs(world: World) -> None:
    async def main() -> None:
        watched = Watched(world.home)
        await watched.runtime.start()
        spec = world.step(WAITS, "waits_with_company")
        watched.runtime.launch(spec)
        await watched.reported(spec.attempt, "event")
        await watched.runtime.shut_down()
        assert (await watched.ended(spec.attempt)).outcome.cause is Cause.CANCELLED
        world.assert_nothing_left()

    run(main())
