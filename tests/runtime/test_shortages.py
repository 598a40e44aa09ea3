"""A home or a machine that has run out of something: the attempt says so, the launcher goes on."""

from __future__ import annotations

import resource
from pathlib import Path

import msgspec
import pytest

from argosy.errors import Unavailable
from argosy.home import Home
from argosy.runtime import addresses
from argosy.runtime.protocol import Cause
from argosy.runtime.runtime import Runtime

from .world import Watched, World, run

QUICK = "def main(): return 1"


@pytest.mark.parametrize("place", ["log", "directory"])
def test_a_log_or_scratch_folder_that_can_not_be_made_ends_the_attempt(world: World, place: str) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = msgspec.structs.replace(world.step(QUICK), **{place: "/proc/argosy/nowhere"})
            outcome = (await watched.run(spec)).outcome
            assert outcome.cause is Cause.ERROR
            assert "can not be set up: No such file or directory" in outcome.message
            assert world.value(await watched.run(world.step(QUICK))) == 1

    run(main())


def test_no_descriptors_left_ends_the_attempt_and_not_the_launcher(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            assert world.value(await watched.run(world.step(QUICK))) == 1
            record = addresses.read_record(world.home)
            assert record is not None
            resource.prlimit(record.pid, resource.RLIMIT_NOFILE, (8, 20_000))
            outcome = (await watched.run(world.step("def main(): return 2"))).outcome
            assert outcome.cause is Cause.ERROR
            assert outcome.message == "no process can be made: Too many open files"
            resource.prlimit(record.pid, resource.RLIMIT_NOFILE, (20_000, 20_000))
            assert world.value(await watched.run(world.step("def main(): return 3"))) == 3

    run(main())


def test_templates_that_never_come_up_end_the_attempt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGOSY_CRASH_POINT", "runtime.template_born:1")

    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step(QUICK))).outcome
            assert outcome.cause is Cause.ERROR
            assert outcome.message == "the warm process for steps died: it ended while importing"

    run(main())


def test_a_home_that_can_not_be_written_is_unavailable() -> None:
    async def main() -> None:
        runtime = Runtime(Home(Path("/proc/argosy")), lambda event: None)
        with pytest.raises(Unavailable, match="launcher of /proc/argosy can not be started") as caught:
            await runtime.start()
        assert "ARGOSY_HOME" in caught.value.hint

    run(main())


def test_a_home_with_a_long_path_is_served(tmp_path: Path) -> None:
    world = World(tmp_path / ("long" * 30) / "home")

    async def main() -> None:
        async with world.running() as watched:
            assert world.value(await watched.run(world.step(QUICK))) == 1

    run(main())


def test_two_runtimes_that_start_at_once_find_one_launcher(world: World) -> None:
    async def main() -> None:
        first, second = Watched(world.home), Watched(world.home)
        await first.runtime.start()
        await second.runtime.start()
        assert world.value(await second.run(world.step(QUICK))) == 1
        await first.runtime.detach()
        await second.runtime.shut_down()
        world.assert_nothing_left()

    run(main())


def test_a_stale_socket_and_record_are_no_obstacle(world: World) -> None:
    world.home.run.mkdir(parents=True)
    addresses.listen(world.home).close()
    addresses.record_path(world.home).write_text("{not json")
    left = world.home.work / "left" / "behind"
    left.mkdir(parents=True)
    (left / "file").touch()

    async def main() -> None:
        async with world.running() as watched:
            assert world.value(await watched.run(world.step(QUICK))) == 1

    run(main())


def test_a_full_scratch_folder_is_removed(world: World) -> None:
    code = """
    import os
    def main():
        os.makedirs("deep/deeper")
        for number in range(50):
            open(f"deep/deeper/{number}", "w").close()
        os.chmod("deep", 0o500)
        return os.getcwd()
    """

    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(code)
            directory = world.value(await watched.run(spec))
            assert directory == spec.directory
            assert not Path(directory).exists()

    run(main())
