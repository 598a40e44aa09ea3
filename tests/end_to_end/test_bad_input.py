"""Every mistake, through the real command and a real control plane: one message with a hint, exit code 2, and
nothing has started."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from .conftest import Argosy, Result

pytestmark = pytest.mark.slow

HEAD = """
import argosy as ar


@ar.step
def one(value: int) -> int:
    return value


@ar.step
def ingest() -> ar.Dataset:
    raise RuntimeError("never runs")


@ar.step
def train(data: ar.Dataset) -> ar.Model:
    raise RuntimeError("never runs")


@ar.step(resources=ar.Resources(cpu=4096))
def huge() -> int:
    return 1


@ar.step(resources=ar.Resources(memory="900Ti"))
def vast() -> int:
    return 1


@ar.workflow
def wrong(count: int = 1) -> object:
"""

WORKFLOWS = {
    "an argument is missing": ("return one()", ["one", "value"]),
    "an argument is one too many": ("return one(1, 2)", ["one"]),
    "an argument has an unknown name": ("return one(valu=1)", ["valu", "value"]),
    "a value has the wrong type": ('return one("three")', ["value", "int"]),
    "a model is passed for a dataset": ("return train(train(ingest()))", ["data", "Dataset", "Model"]),
    "two nodes have one name": ('a = one.named("x")(1)\n    return [a, one.named("x")(2)]', ["'x'"]),
    "more cores are asked for than there are": ("return huge()", ["huge", "4096"]),
    "more memory is asked for than there is": ("return vast()", ["vast", "900Ti"]),
    "a result is used before it exists": ("return one(1) + 1", ["wrong.py:"]),
}


def refused(result: Result, *words: str) -> None:
    assert result.code == 2, result
    assert result.out == ""
    assert "Traceback" not in result.err
    assert "hint: " in result.err
    for word in words:
        assert word in result.err, result.err


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Argosy:
    """A control plane for the whole table; the last test of the module stops it."""
    folder = tmp_path_factory.mktemp("bad-input")
    (folder / "project").mkdir()
    return Argosy(folder / "project", folder / "home")


@pytest.mark.parametrize("case", WORKFLOWS)
def test_a_workflow_that_can_not_be_is_refused_when(shared: Argosy, case: str) -> None:
    body, words = WORKFLOWS[case]
    shared.file("wrong.py", f"{HEAD}    {body}\n")
    refused(shared("run", "wrong.py"), *words)


def test_all_that_is_wrong_is_told_at_once(shared: Argosy) -> None:
    shared.file("wrong.py", f'{HEAD}    return [one("a"), one(), train(train(ingest()))]\n')
    assert shared("run", "wrong.py").err.count("hint: ") >= 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", ["wrong.py:1"]),
        ("import no_such_module_anywhere\n", ["no_such_module_anywhere"]),
        ("x = 1\n", ["no workflow"]),
    ],
    ids=["a syntax error", "a module that is missing", "no workflow at all"],
)
def test_a_file_that_can_not_be_used(shared: Argosy, text: str, words: list[str]) -> None:
    refused(shared("run", shared.file("wrong.py", text)), *words)


def test_a_parameter_that_does_not_parse(shared: Argosy) -> None:
    shared.file("wrong.py", f"{HEAD}    return one(count)\n")
    refused(shared("run", "wrong.py", "--count", "many"), "count", "many")
    refused(shared("run", "wrong.py", "--cuont", "1"), "cuont", "count")


def test_an_unknown_run_service_or_image(shared: Argosy) -> None:
    assert shared("up").code == 0
    refused(shared("show", "nobody"), "nobody")
    refused(shared("logs", "nobody"), "nobody")
    refused(shared("cancel", "nobody"), "nobody")
    refused(shared("predict", "no-service", shared.file("a.png", "not an image")), "no-service")
    refused(shared("predict", "no-service", "missing.png"), "missing.png")


def test_nothing_was_recorded_for_any_of_them(shared: Argosy) -> None:
    assert shared("runs", "--json").document == []
    assert list((shared.home / "sources").iterdir()) == []
    assert shared("down").code == 0
    assert not shared.processes()


def test_a_second_control_plane_on_the_same_home_is_refused(argosy: Argosy) -> None:
    argosy("up")
    second = argosy("--home", argosy.home, module="argosy.control")
    assert second.code == 2
    assert f"already runs on {argosy.home}" in second.err
    assert "Traceback" not in second.err
    assert argosy("status", "--json").document["running"]


def test_a_home_written_by_a_newer_argosy_is_left_alone(argosy: Argosy) -> None:
    argosy("up")
    argosy("down")
    with sqlite3.connect(argosy.home / "argosy.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    refused(argosy("up"), "newer Argosy")
    refused(argosy("run", Path(__file__).parents[2] / "examples" / "hello" / "hello.py"), "newer Argosy")


def test_a_database_that_is_not_one_is_refused(argosy: Argosy) -> None:
    argosy.home.mkdir()
    (argosy.home / "argosy.db").write_bytes(b"this is no database" * 100)
    refused(argosy("up"), "argosy.db")
    assert (argosy.home / "argosy.db").read_bytes().startswith(b"this is no database")
