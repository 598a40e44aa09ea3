"""Limits, stops and timeouts: each with its cause, its signals and nothing left."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.runtime.protocol import Cause, Started

from .world import World, program, run

MEBIBYTE = 2**20
WAITS = """
import signal, sys, time
import argosy.reporting as reporting

def say(message):
    reporting.current().report("event", {"message": message})

def main():
    say("ready")
    time.sleep(600)

def ignores_terms():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main()

def tidies():
    def leave(*_):
        print("tidied")
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    main()

def leaves_others():
    import subprocess
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["setsid", "sleep", "600"])
    subprocess.Popen(["sh", "-c", "setsid sh -c 'sleep 600 & sleep 600' & exit 0"]).wait()
    return "done"
"""


def test_a_stop_carries_its_cause(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(WAITS)
            watched.runtime.launch(spec)
            await watched.reported(spec.attempt, "event")
            watched.runtime.stop(spec.attempt, Cause.PREEMPTED, "makes room for b")
            outcome = (await watched.ended(spec.attempt)).outcome
            assert (outcome.cause, outcome.message) == (Cause.PREEMPTED, "makes room for b")

    run(main())


def test_a_step_may_tidy_up_in_its_grace(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(WAITS, "tidies")
            watched.runtime.launch(spec)
            await watched.reported(spec.attempt, "event")
            watched.runtime.stop(spec.attempt, Cause.CANCELLED)
            assert (await watched.ended(spec.attempt)).outcome.cause is Cause.CANCELLED
            assert world.log(spec) == "tidied\n"

    run(main())


def test_a_step_that_ignores_the_request_is_killed_after_its_grace(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(WAITS, "ignores_terms", grace_seconds=0.1)
            watched.runtime.launch(spec)
            await watched.reported(spec.attempt, "event")
            watched.runtime.stop(spec.attempt, Cause.CANCELLED)
            assert (await watched.ended(spec.attempt)).outcome.cause is Cause.CANCELLED

    run(main())


def test_a_stop_before_the_start_starts_nothing(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step("import time\ntime.sleep(0.3)\ndef main(): pass")
            watched.runtime.launch(spec)
            watched.runtime.stop(spec.attempt, Cause.CANCELLED, "changed my mind")
            assert (await watched.ended(spec.attempt)).outcome.cause is Cause.CANCELLED
            assert watched.of(Started) == []

    run(main())


def test_a_timeout_ends_the_attempt(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            ended = await watched.run(world.step(WAITS, timeout_seconds=0.2))
            assert ended.outcome.cause is Cause.TIMEOUT
            assert ended.outcome.message == "ran longer than its timeout of 200ms"

    run(main())


def test_memory_over_the_limit_is_out_of_memory(world: World) -> None:
    code = """
    def main():
        kept = []
        while True:
            kept.append(b"x" * 2**20)
    """

    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step(code, memory=64 * MEBIBYTE))).outcome
            assert outcome.cause is Cause.OUT_OF_MEMORY
            assert "over its limit 64Mi" in outcome.message
            assert 64 * MEBIBYTE < outcome.peak_memory < 1024 * MEBIBYTE

    run(main())


def test_memory_of_processes_that_a_step_starts_counts(world: World) -> None:
    code = """
    import subprocess, sys
    def main():
        subprocess.run([sys.executable, "-c", "x = b'x' * (300 * 2**20); import time; time.sleep(600)"])
    """

    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step(code, memory=128 * MEBIBYTE))).outcome
            assert outcome.cause is Cause.OUT_OF_MEMORY

    run(main())


def test_one_huge_allocation_fails_in_the_step_itself(world: World) -> None:
    code = "def main(): return len(bytearray(8 * 2**30))"

    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step(code, memory=64 * MEBIBYTE))).outcome
            assert outcome.cause is Cause.OUT_OF_MEMORY
            assert outcome.error_type == "MemoryError"

    run(main())


def test_a_kill_near_the_limit_is_taken_for_the_kernels(world: World) -> None:
    code = """
    import time
    def main():
        kept = b"x" * (246 * 2**20)
        time.sleep(600)
    """

    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(code, memory=256 * MEBIBYTE)
            watched.runtime.launch(spec)
            pid = (await watched.started(spec.attempt)).processes[0][0]
            await watched.sampled(spec.attempt, lambda s: s.memory > 245 * MEBIBYTE)
            os.kill(pid, 9)
            outcome = (await watched.ended(spec.attempt)).outcome
            assert outcome.cause is Cause.OUT_OF_MEMORY
            assert outcome.signal == 9

    run(main())


def test_too_much_output_ends_the_attempt(world: World) -> None:
    code = """
    import os
    def main():
        while True:
            os.write(1, b"x" * 65536)
    """

    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(code, output_limit=MEBIBYTE)
            outcome = (await watched.run(spec)).outcome
            assert outcome.cause is Cause.OUTPUT_LIMIT
            assert outcome.message == "wrote more than 1Mi to its log"
            assert Path(spec.log.format(rank=0)).stat().st_size == MEBIBYTE

    run(main())


def test_processes_that_a_step_leaves_behind_are_gone_when_it_has_ended(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(WAITS, "leaves_others")
            assert world.value(await watched.run(spec)) == "done"
            assert [pid for pid in world.processes() if program(pid) in ("sleep", "sh")] == []

    run(main())


def test_samples_tell_what_a_step_uses(world: World) -> None:
    code = """
    def main():
        kept = b"x" * (50 * 2**20)
        while True:
            pass
    """

    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(code)
            watched.runtime.launch(spec)
            sample = await watched.sampled(spec.attempt, lambda s: s.memory > 50 * MEBIBYTE)
            assert sample.memory < 150 * MEBIBYTE
            assert 0 < sample.cpu < 1.5
            watched.runtime.stop(spec.attempt, Cause.CANCELLED)
            assert (await watched.ended(spec.attempt)).outcome.peak_memory > 50 * MEBIBYTE

    run(main())
