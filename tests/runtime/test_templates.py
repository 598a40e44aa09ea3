"""Warm processes: what they share, and what happens when the user's module can not be imported in one."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.runtime.protocol import Cause, EntryCall, Program

from .world import World, run


def test_the_module_is_imported_once_for_many_attempts(world: World, tmp_path: Path) -> None:
    code = f"""
    with open({str(tmp_path / "imports")!r}, "a") as file:
        file.write("imported\\n")
    def main(): return 1
    """

    async def main() -> None:
        async with world.running() as watched:
            digest = world.source(code)
            for _ in range(5):
                assert world.value(await watched.run(world.step(digest))) == 1
            assert (tmp_path / "imports").read_text() == "imported\n"

    run(main())


def test_attempts_do_not_see_each_others_changes(world: World) -> None:
    code = """
    counter = []
    def main():
        counter.append(1)
        return len(counter)
    """

    async def main() -> None:
        async with world.running() as watched:
            digest = world.source(code)
            assert [world.value(await watched.run(world.step(digest))) for _ in range(3)] == [1, 1, 1]

    run(main())


def test_a_module_that_can_not_be_imported_says_where(world: World) -> None:
    broken = {
        "import json\n1 / 0\ndef main(): pass": ("steps can not be imported: ZeroDivisionError", 2),
        "def main():\n    return (\n": ("steps can not be imported: SyntaxError", 2),
        "x = 1\nimport no_such_package.part\n": ("install no_such_package into the environment", 2),
        "import sys\nsys.exit(3)\n": ("steps can not be imported: SystemExit: 3", 2),
    }

    async def main() -> None:
        async with world.running() as watched:
            for code, (message, line) in broken.items():
                for _ in range(2):
                    outcome = (await watched.run(world.step(code))).outcome
                    assert outcome.cause is Cause.IMPORT_ERROR
                    assert message in outcome.message
                    assert outcome.line == line
                    assert "argosy" not in outcome.traceback

    run(main())


def test_a_module_that_ends_the_process_ends_its_attempt_only(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step("import os\nos._exit(7)"))).outcome
            assert (outcome.cause, outcome.exit_code) == (Cause.EXIT, 7)
            assert world.value(await watched.run(world.step("def main(): return 1"))) == 1

    run(main())


def test_a_snapshot_that_is_gone_is_an_import_error(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step("f" * 64))).outcome
            assert outcome.cause is Cause.IMPORT_ERROR
            assert (
                outcome.message
                == "the snapshot of the code 'ffffffffffff' is gone\nhint: run the workflow again"
            )

    run(main())


def test_a_module_that_starts_threads_is_imported_by_each_child(world: World) -> None:
    code = """
    import threading
    answers = []
    asked = threading.Semaphore(0)
    answered = threading.Semaphore(0)
    def serve():
        while True:
            asked.acquire()
            answers.append(42)
            answered.release()
    threading.Thread(target=serve, daemon=True).start()
    def main():
        asked.release()
        assert answered.acquire(timeout=10)
        return answers[0]
    """

    async def main() -> None:
        async with world.running() as watched:
            digest = world.source(code)
            for _ in range(2):
                assert world.value(await watched.run(world.step(digest))) == 42

    run(main())


def test_numpy_keeps_to_the_threads_of_its_step(world: World) -> None:
    code = """
    import ctypes
    import numpy
    def main():
        maps = open("/proc/self/maps").read().splitlines()
        path = next(line.split()[5] for line in maps if "openblas" in line)
        return ctypes.CDLL(path).scipy_openblas_get_num_threads64_()
    """

    async def main() -> None:
        async with world.running() as watched:
            assert world.value(await watched.run(world.step(code, preload=("numpy",), cpu=1.0))) == 1

    run(main())


def test_a_preload_is_warm_before_it_is_needed(world: World) -> None:
    code = """
    import sys
    warm = "numpy" in sys.modules
    def main(): return warm
    """

    async def main() -> None:
        async with world.running() as watched:
            watched.runtime.warm(("numpy",))
            digest = world.source(code)
            assert world.value(await watched.run(world.step(digest, preload=("numpy",)))) is True
            assert world.value(await watched.run(world.step(digest))) is False

    run(main())


def test_an_entry_of_argosy_runs_in_a_warm_process(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.spec(EntryCall("json.tool", "main", {}), preload=("numpy",))
            outcome = (await watched.run(spec)).outcome
            assert outcome.cause is Cause.ERROR
            assert "takes 0 positional arguments" in outcome.message
            spec = world.spec(EntryCall("builtins", "print", {"port": 1}), preload=("numpy",))
            ended = await watched.run(spec)
            assert (ended.outcome.cause, ended.output) == (Cause.SUCCEEDED, None)
            assert world.log(spec) == "{'port': 1}\n"

    run(main())


def test_a_program_replaces_its_process(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.spec(
                Program(("sh", "-c", 'echo "$GREETING"; exec sleep 600')), environment={"GREETING": "hi"}
            )
            watched.runtime.launch(spec)
            pid = (await watched.started(spec.attempt)).processes[0][0]
            await watched.until(lambda: world.log(spec) or watched.events.clear())
            assert os.getsid(pid) == pid
            watched.runtime.stop(spec.attempt, Cause.CANCELLED)
            assert (await watched.ended(spec.attempt)).outcome.cause is Cause.CANCELLED
            good = await watched.run(world.spec(Program(("true",))))
            assert good.outcome.cause is Cause.SUCCEEDED
            bad = await watched.run(world.spec(Program(("false",))))
            assert (bad.outcome.cause, bad.outcome.exit_code) == (Cause.EXIT, 1)

    run(main())


def test_a_program_that_is_not_there_is_an_error(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.spec(Program(("/no/such/program",))))).outcome
            assert outcome.cause is Cause.ERROR
            assert (
                outcome.message == "program '/no/such/program' can not be started: No such file or directory"
            )

    run(main())


def test_an_import_that_never_ends_does_not_keep_its_launcher_from_ending(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            watched.runtime.launch(world.step("import time\ntime.sleep(600)"))
            assert world.value(await watched.run(world.step("def main(): return 1"))) == 1

    run(main())
