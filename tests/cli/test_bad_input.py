"""Each mistake is one message with a hint, exit code 2, and no half state."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from .conftest import COMMAND, Command, Result


def refused(result: Result, *words: str) -> None:
    assert result.code == 2, result
    assert result.out == ""
    chatter = ("the module prints", "starting the control plane")
    lines = [line for line in result.err.splitlines() if line not in chatter]
    assert lines[0].startswith("error: "), result.err
    for word in words:
        assert word in result.err, result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ["there is no command 'frobnicate'", "hint: 'argosy --help'"]),
        (["statsu"], ["hint: did you mean 'argosy status'?"]),
        (["show"], ["Missing argument 'RUN'", "hint: 'argosy show --help'"]),
        (["show", "a", "b"], ["unexpected extra argument (b)"]),
        (["runs", "--limit", "0"], ["0 is not in the range"]),
        (["runs", "--limit", "many"], ["'many' is not a valid integer"]),
        (["runs", "--jsn"], ["No such option"]),
        (["graph", "hello.py", "--format", "png"], ["'png' is not one of 'text', 'json', 'mermaid'"]),
        (["run"], ["FILE of a workflow is missing", "hint: argosy run FILE[:WORKFLOW]"]),
        (["run", "--times", "3"], ["comes first, not --times"]),
        (["run", "helo.py"], ["there is no file 'helo.py'", "hint: did you mean hello.py?"]),
        (["run", "."], ["is a folder"]),
        (["run", "hello.py:"], ["is not FILE or FILE:WORKFLOW"]),
        (["run", "hello.py:hallo"], ["defines no workflow 'hallo'", "hint: did you mean hello?"]),
        (["run", "hello.py", "stray"], ["'stray' belongs to no parameter"]),
        (["run", "hello.py", "--times"], ["--times has no value", "hint: write --times VALUE; it takes int"]),
        (["run", "hello.py", "--times", "x"], ["'x'", "whole number"]),
        (["run", "hello.py", "--time", "3"], ["no parameter 'time'", "did you mean times"]),
        (["run", "hello.py", "--name", "a", "--name", "b"], ["--name is given twice"]),
        (["predict", "digits"], ["Missing argument 'IMAGE_FILE...'"]),
        (["predict", "digits", "none.png"], ["there is no file none.png"]),
        (["predict", "digits", "."], ["is not a file"]),
    ],
)
def test_a_wrong_command_line(argosy: Command, arguments: list[str], words: list[str]) -> None:
    refused(argosy(*arguments), *words)
    assert not (argosy.home / "starts").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", ["broken.py:1", "hint:"]),
        ("import no_such_module_at_all\n", ["no_such_module_at_all"]),
        ("raise RuntimeError('bang')\n", ["broken.py:1", "RuntimeError: bang"]),
        ("raise SystemExit(3)\n", ["broken.py:1", "SystemExit"]),
        ("x = 1\n", ["defines no workflow"]),
        (
            "import argosy as ar\n@ar.workflow\ndef w() -> int:\n    return 1 // 0\n",
            ["broken.py:4", "ZeroDivision"],
        ),
    ],
)
def test_a_file_that_does_not_load(argosy: Command, text: str, words: list[str]) -> None:
    (argosy.folder / "broken.py").write_text(text)
    refused(argosy("run", "broken.py"), *words)
    assert not argosy.home.exists()


def test_all_wrong_parameters_are_told_at_once(argosy: Command) -> None:
    result = argosy("run", "hello.py", "--times", "x", "--loud", "perhaps")
    refused(result, "'times'", "'loud'")
    assert result.err.count("error: ") == 2
    assert result.err.count("hint: ") == 2


def test_what_the_control_plane_refuses_is_told_as_it_says_it(argosy: Command) -> None:
    refused(argosy("run", "hello.py", "--outcome", "refuse"), "asks for 999 cpu, and this machine has 2")
    as_json = argosy("run", "hello.py", "--outcome", "refuse", "--json")
    assert as_json.code == 2
    assert as_json.document["error"]["code"] == "invalid_graph"
    assert as_json.document["error"]["context"]["problems"][0]["rule"] == "resources"
    assert argosy("runs", "--json").document == []


@pytest.mark.parametrize("command", [["runs"], ["show", "x"], ["cancel", "x"], ["services"], ["logs", "x"]])
def test_without_a_control_plane_the_hint_is_argosy_up(argosy: Command, command: list[str]) -> None:
    refused(argosy(*command), "no control plane runs on", "hint: start it with 'argosy up'")
    if command[0] != "logs":
        document = argosy(*command, "--json").document
        assert document["error"]["code"] == "unavailable"


def test_an_unknown_run_or_node_names_the_nearest(shared: Command) -> None:
    refused(shared("show", "hallo-0001"), "there is no run 'hallo-0001'", "did you mean", "hello-0001")
    refused(shared("logs", "hello-0001", "jion"), "has no node 'jion'", "did you mean join?")
    refused(shared("cancel", "nothing-like-it"), "hint: 'argosy runs' lists them")


def test_an_error_with_json_is_one_document(shared: Command) -> None:
    result = shared("show", "nothing", "--json")
    assert (result.code, result.err) == (2, "")
    assert result.document["error"]["code"] == "not_found"
    usage = shared("runs", "--json", "--limit", "x")
    assert usage.document["error"]["code"] == "invalid_request"


def test_a_file_name_that_is_not_utf8_still_gives_a_message(shared: Command) -> None:
    result = shared("predict", "digits", "\udcff.png")
    refused(result, "there is no file", "\\udcff.png")
    assert "udcff" in shared("predict", "digits", "\udcff.png", "--json").document["error"]["message"]


def test_a_home_that_is_a_file(argosy: Command) -> None:
    argosy.home.write_text("not a folder")
    refused(argosy("up"), "is not a folder", "hint: set ARGOSY_HOME to a folder")
    refused(argosy("run", "hello.py"), "is not a folder")
    argosy.home.unlink()


def test_a_home_inside_a_file(argosy: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = argosy("up", "--json", ARGOSY_HOME=str(tmp_path / "file" / "home"))
    assert (result.code, result.document["error"]["code"]) == (2, "unavailable")


def test_a_home_on_a_read_only_file_system(argosy: Command) -> None:
    refused(argosy("up", ARGOSY_HOME="/proc/argosy"), "/proc/argosy", "hint: ")


def test_a_fault_of_argosy_is_one_line_and_a_traceback_in_a_file(argosy: Command) -> None:
    (argosy.folder / "sitecustomize.py").write_text(
        "import argosy.client.client as c\n"
        "def broken(self, *a):\n    raise ZeroDivisionError('a bug')\n"
        "c.ControlClient.runs = broken\n"
    )
    path = f"{argosy.folder}:{argosy.environment()['PYTHONPATH']}"
    result = argosy("runs", PYTHONPATH=path)
    assert result.code == 1
    assert result.err.splitlines()[0] == "error: Argosy itself failed: ZeroDivisionError: a bug"
    log = argosy.home / "logs" / "cli.log"
    assert str(log) in result.err
    assert "Traceback (most recent call last)" in log.read_text()


@pytest.mark.parametrize("arguments", [["graph", "hello.py"], ["runs", "--json"]])
def test_an_output_that_takes_no_more_is_one_message(shared: Command, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=shared.folder,
            env=shared.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert done.returncode == 1
    assert "error: the output could not be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_output_is_no_fault(shared: Command) -> None:
    words = f"exec {shlex.join(COMMAND)} graph hello.py >&- 2>&-"
    done = subprocess.run(["sh", "-c", words], cwd=shared.folder, env=shared.environment(), check=False)
    assert done.returncode == 0
