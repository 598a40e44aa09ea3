"""What a step may do, and how its attempt ends: one row a behaviour, all run by one launcher."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from argosy.artifacts.reference import ArtifactReference, Many, Stored
from argosy.runtime.protocol import AttemptSpec, Cause, Ended, Started, StepCall

from .world import World, inline, run

CODE = """
import ctypes, os, sys, threading, time
import numpy
import argosy as ar
import helper

print("imported")

def add(x, y):
    print("adding")
    return x + y

@ar.step
def decorated(x: int) -> int:
    return x * 2

def total(items):
    return sum(items)

def arrays():
    return [numpy.arange(3), numpy.ones((2, 2))]

def folder():
    os.mkdir("made")
    with open("made/a.txt", "w") as file:
        file.write("hello")
    return ar.FileTree("made")

def surroundings():
    names = ["ARGOSY_ATTEMPT", "ARGOSY_RANK", "ARGOSY_WORKERS", "OMP_NUM_THREADS", "EXTRA", "TF_CONFIG"]
    return {
        "cwd": os.getcwd(),
        "temporary": os.environ["TMPDIR"],
        "session": os.getsid(0) == os.getpid(),
        "oom": int(open("/proc/self/oom_score_adj").read()),
        **{name: os.environ.get(name) for name in names},
    }

def random_numbers():
    import random
    return [random.random(), float(numpy.random.random())]

def lingers():
    threading.Thread(target=lambda: (time.sleep(0.05), print("thread done"))).start()
    return "returned"

def at_exit():
    import atexit
    atexit.register(lambda: print("exit handler ran"))
    return 1

def forks():
    if os.fork() == 0:
        return "child"
    os.wait()
    return "parent"

def raises(): raise ValueError("the number is wrong")

def raises_deep():
    helper.check(-1)

def raises_from():
    try:
        helper.check(-1)
    except ValueError as error:
        raise RuntimeError("outer") from error

class Unspeakable(Exception):
    def __init__(self): self.lock = threading.Lock()
    def __str__(self): raise RuntimeError("no text")

def raises_unspeakable(): raise Unspeakable()
def interrupted(): raise KeyboardInterrupt
def exits_3(): sys.exit(3)
def exits_0(): sys.exit(0)
def exits_with_text(): sys.exit("could not go on")
def vanishes(): os._exit(0)
def vanishes_4(): os._exit(4)
def segfaults(): ctypes.string_at(8)
def aborts(): os.abort()
def killed(): os.kill(os.getpid(), 9)
def closes_output():
    os.close(1)
    os.close(2)
    return "still here"
def closes_everything():
    os.closerange(3, 1000)
    return "lost"
def wrong_type(): return object()
def not_an_int() -> int: return "3"

@ar.step
def texts_among_numbers(limit: tuple[int, int]) -> list[dict[str, float]]:
    return [{"accuracy": limit[0]}, {"accuracy": "high"}]
def not_a_dataset(): return 5
def out_of_memory(): return bytearray(1 << 60)
def prints_binary():
    os.write(1, b"\\xff\\xfe\\n")
    print("\\udcff ü")
    return 1
"""
HELPER = """
def check(number):
    if number < 0:
        raise ValueError(f"{number} is negative")
"""


@dataclass(frozen=True)
class Row:
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    output: str = "json"
    settings: dict[str, Any] = field(default_factory=dict)


ROWS = {
    name: Row(name)
    for name in [
        "random_numbers",
        "lingers",
        "at_exit",
        "forks",
        "raises",
        "raises_deep",
        "raises_from",
        "raises_unspeakable",
        "interrupted",
        "exits_3",
        "exits_0",
        "exits_with_text",
        "vanishes",
        "vanishes_4",
        "segfaults",
        "aborts",
        "killed",
        "closes_output",
        "closes_everything",
        "wrong_type",
        "not_an_int",
        "out_of_memory",
        "prints_binary",
    ]
} | {
    "add": Row("add", {"x": inline(20), "y": inline(22)}),
    "decorated": Row("decorated", {"x": inline(21)}),
    "total": Row("total", {"items": Many((inline(1), inline(2)))}),
    "arrays": Row("arrays", output="list[numpy]"),
    "folder": Row("folder", output="tree"),
    "surroundings": Row("surroundings", settings={"cpu": 1.0, "environment": {"EXTRA": "yes"}}),
    "random_again": Row("random_numbers"),
    "texts_among_numbers": Row("texts_among_numbers", {"limit": inline([1, 2])}),
    "not_a_dataset": Row("not_a_dataset", output="dataset"),
    "missing_argument": Row("add", {"x": inline(1)}),
    "no_such_step": Row("nothing_of_that_name"),
    "missing_input": Row("total", {"items": Stored(ArtifactReference("0" * 64, "json", 3))}),
}


@dataclass
class Played:
    world: World
    specs: dict[str, AttemptSpec]
    ended: dict[str, Ended]
    events: list[Any]

    def outcome(self, name: str) -> tuple[Cause, str]:
        outcome = self.ended[name].outcome
        return outcome.cause, outcome.message

    def value(self, name: str) -> Any:
        return self.world.value(self.ended[name])

    def log(self, name: str) -> str:
        return self.world.log(self.specs[name])


@pytest.fixture(scope="module")
def played(shared_world: World) -> Played:
    played = Played(shared_world, {}, {}, [])
    digest = shared_world.source(CODE, helper=HELPER)
    broken = shared_world.store.put(list(range(100)), "json")
    assert isinstance(broken, Stored)
    path = shared_world.store.path(broken.reference)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    rows = ROWS | {"corrupt_input": Row("total", {"items": broken})}

    async def main() -> None:
        async with shared_world.running() as watched:
            for name, row in rows.items():
                call = StepCall(digest, "steps", row.function, row.arguments, row.output)
                spec = played.specs[name] = shared_world.spec(call, attempt=name, **row.settings)
                watched.runtime.launch(spec)
            for name in rows:
                played.ended[name] = await watched.ended(name)
            played.events = watched.events

    run(main())
    return played


def test_a_step_gets_its_arguments_and_its_result_is_stored(played: Played) -> None:
    assert played.value("add") == 42
    assert played.value("decorated") == 42
    assert played.value("total") == 3


def test_results_of_other_types_are_stored_by_their_serializer(played: Played) -> None:
    first, second = played.value("arrays")
    np.testing.assert_array_equal(first, np.arange(3))
    np.testing.assert_array_equal(second, np.ones((2, 2)))
    assert (played.value("folder").path / "a.txt").read_text() == "hello"


def test_every_attempt_has_started_once_and_ended_once(played: Played) -> None:
    for kind in (Started, Ended):
        names = [event.attempt for event in played.events if isinstance(event, kind)]
        assert sorted(names) == sorted(played.specs), kind


def test_what_a_step_and_its_import_print_is_in_its_log(played: Played) -> None:
    assert played.log("add") == "imported\nadding\n"


def test_a_step_finds_its_own_surroundings(played: Played) -> None:
    spec = played.specs["surroundings"]
    assert played.value("surroundings") == {
        "cwd": spec.directory,
        "temporary": spec.directory,
        "session": True,
        "oom": 1000,
        "ARGOSY_ATTEMPT": "surroundings",
        "ARGOSY_RANK": "0",
        "ARGOSY_WORKERS": "1",
        "OMP_NUM_THREADS": "1",
        "EXTRA": "yes",
        "TF_CONFIG": None,
    }


def test_two_attempts_do_not_share_a_random_state(played: Played) -> None:
    first, again = played.value("random_numbers"), played.value("random_again")
    assert first[0] != again[0]
    assert first[1] != again[1]


def test_threads_and_exit_handlers_of_a_step_come_to_their_end(played: Played) -> None:
    assert "thread done" in played.log("lingers")
    assert "exit handler ran" in played.log("at_exit")


def test_a_fork_that_returns_from_the_step_is_not_its_result(played: Played) -> None:
    assert played.value("forks") == "parent"


def test_closed_standard_output_does_not_matter(played: Played) -> None:
    assert played.value("closes_output") == "still here"


def test_odd_bytes_may_be_printed(played: Played) -> None:
    assert played.ended["prints_binary"].outcome.cause is Cause.SUCCEEDED


ENDS = {
    "raises": (Cause.ERROR, "ValueError: the number is wrong"),
    "raises_deep": (Cause.ERROR, "ValueError: -1 is negative"),
    "raises_from": (Cause.ERROR, "RuntimeError: outer"),
    "raises_unspeakable": (Cause.ERROR, "Unspeakable: (its message can not be shown)"),
    "interrupted": (Cause.ERROR, "KeyboardInterrupt"),
    "exits_3": (Cause.EXIT, "the step called sys.exit(3) instead of returning"),
    "exits_0": (Cause.EXIT, "the step called sys.exit(0) instead of returning"),
    "exits_with_text": (Cause.EXIT, "the step called sys.exit('could not go on') instead of returning"),
    "vanishes": (Cause.EXIT, "exited before the step returned"),
    "vanishes_4": (Cause.EXIT, "exited with code 4"),
    "segfaults": (Cause.SIGNAL, "killed by SIGSEGV (Segmentation fault)"),
    "aborts": (Cause.SIGNAL, "killed by SIGABRT (Aborted)"),
    "killed": (Cause.SIGNAL, "killed by SIGKILL (Killed)"),
    "closes_everything": (Cause.EXIT, "exited before the step returned"),
    "missing_argument": (Cause.ERROR, "TypeError: add() missing 1 required positional argument: 'y'"),
    "no_such_step": (Cause.IMPORT_ERROR, "module 'steps' has no step 'nothing_of_that_name'"),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_end_has_its_cause_and_a_sentence(played: Played, name: str) -> None:
    assert played.outcome(name) == ENDS[name]
    assert played.ended[name].output is None


def test_exit_codes_and_signals_are_recorded(played: Played) -> None:
    assert played.ended["exits_3"].outcome.exit_code == 3
    assert played.ended["exits_with_text"].outcome.exit_code == 1
    assert played.ended["vanishes_4"].outcome.exit_code == 4
    assert played.ended["segfaults"].outcome.signal == signal.SIGSEGV
    assert "Segmentation fault" in played.log("segfaults")


def test_memory_that_can_not_be_had_is_out_of_memory(played: Played) -> None:
    assert played.ended["out_of_memory"].outcome.cause is Cause.OUT_OF_MEMORY


def test_inputs_that_are_missing_or_corrupt_are_told_apart_from_errors_of_the_step(played: Played) -> None:
    for name in ("missing_input", "corrupt_input"):
        cause, message = played.outcome(name)
        assert cause is Cause.CORRUPT_INPUT
        assert "hint: " in message


def test_a_result_of_the_wrong_type_is_an_error_with_a_hint(played: Played) -> None:
    for name in ("wrong_type", "not_a_dataset"):
        cause, message = played.outcome(name)
        assert cause is Cause.ERROR
        assert f"what {name} returned can not be stored" in message
        assert "hint: " in message


def test_a_result_that_is_not_what_the_step_declares_is_refused(played: Played) -> None:
    assert played.outcome("not_an_int") == (
        Cause.ERROR,
        "what not_an_int returned is not what it declares: the result is '3' (str), expected int\n"
        "hint: return int, or declare what the step returns",
    )
    cause, message = played.outcome("texts_among_numbers")
    assert cause is Cause.ERROR
    assert "the result[1]['accuracy'] is 'high' (str), expected float" in message


def test_a_traceback_is_in_the_log_of_its_attempt(played: Played) -> None:
    assert played.log("raises_deep") == "imported\n" + played.ended["raises_deep"].outcome.traceback


def test_a_traceback_holds_the_users_frames_only(played: Played) -> None:
    outcome = played.ended["raises_deep"].outcome
    line = _line(CODE, "helper.check(-1)")
    assert outcome.traceback.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "steps.py", line {line}, in raises_deep',
        "    helper.check(-1)",
        '  File "helper.py", line 4, in check',
        '    raise ValueError(f"{number} is negative")',
        "ValueError: -1 is negative",
    ]
    assert outcome.line == 4
    assert outcome.error_type == "ValueError"


def test_a_traceback_shows_the_cause_too(played: Played) -> None:
    text = played.ended["raises_from"].outcome.traceback
    assert "ValueError: -1 is negative" in text
    assert "direct cause" in text
    assert "argosy" not in text


def test_the_line_is_where_the_step_raised(played: Played) -> None:
    assert played.ended["raises"].outcome.line == _line(CODE, "the number is wrong")
    assert played.ended["exits_3"].outcome.line == _line(CODE, "sys.exit(3)")


def test_the_peak_of_memory_is_recorded(played: Played) -> None:
    assert 0 < played.ended["add"].outcome.peak_memory < 200 * 2**20


def _line(code: str, text: str) -> int:
    return next(number for number, line in enumerate(code.splitlines(), 1) if text in line)
