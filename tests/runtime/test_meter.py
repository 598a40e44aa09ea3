"""What it costs to know what a process uses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from argosy.runtime import linux, meter

_PROGRAM = """
import sys
held = []
print(flush=True)
for line in sys.stdin:
    held.append(bytearray(b"x" * int(line)))
    print(flush=True)
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdin=pipe, stdout=pipe, text=True) as process:
        _answered(process)
        yield process
        process.kill()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(meter, "time", clock)
    return clock


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were measured exactly, in order."""
    measured: list[int] = []
    measure = linux.proportional_memory

    def watch(pid: int) -> int | None:
        measured.append(pid)
        return measure(pid)

    monkeypatch.setattr(linux, "proportional_memory", watch)
    return measured


def _answered(program: subprocess.Popen[str]) -> None:
    assert program.stdout is not None
    assert program.stdout.readline() == "\n"


def _sample(measured: meter.Meter, clock: Clock, seconds: int) -> int:
    memory = 0
    for _ in range(seconds):
        clock.now += 1.0
        memory = measured.sample()[1]
    return memory


def test_an_idle_process_is_measured_exactly_once_in_half_a_minute(
    program: subprocess.Popen[str], clock: Clock, exact: list[int]
) -> None:
    idle = meter.Meter(program.pid, 0)
    _sample(idle, clock, 30)
    assert exact == [program.pid]
    _sample(idle, clock, 5)
    assert exact == [program.pid] * 2


def test_a_process_that_touches_new_pages_is_measured_exactly_again(
    program: subprocess.Popen[str], clock: Clock, exact: list[int]
) -> None:
    growing = meter.Meter(program.pid, 0)
    before = _sample(growing, clock, 3)
    assert program.stdin is not None
    program.stdin.write(f"{32 * 2**20}\n")
    program.stdin.flush()
    _answered(program)
    after = _sample(growing, clock, 3)
    assert exact == [program.pid] * 2
    assert after - before > 31 * 2**20
