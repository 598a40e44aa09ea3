"""What a newcomer types, in the order of the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import HELLO, ROOT, Argosy, wait_until

pytestmark = pytest.mark.slow

WAITING = """
import time
import argosy as ar


@ar.step
def hold(seconds: int) -> int:
    print("holding", flush=True)
    time.sleep(seconds)
    return seconds


@ar.step
def after(value: int) -> int:
    return value


@ar.workflow
def waiting(seconds: int = 60) -> int:
    return after(hold(seconds))
"""


def test_a_run_from_nothing_starts_the_control_plane_and_prints_its_result(argosy: Argosy) -> None:
    ran = argosy("run", HELLO)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, 'result: "hello world, hello fleet"'), ran
    assert "starting the control plane" in ran.err
    status = argosy("status", "--json").document
    assert status["running"]
    assert Path(status["home"]) == argosy.home


def test_up_then_down_then_down_again(argosy: Argosy) -> None:
    assert argosy("up").code == 0
    assert "was up already" in argosy("up").out
    assert argosy("down").code == 0
    assert not argosy.processes()
    again = argosy("down")
    assert (again.code, "nothing runs" in again.out) == (0, True)


def test_a_run_can_be_looked_at_from_every_side(argosy: Argosy) -> None:
    view = argosy("run", HELLO, "--names", '["Ada"]', "--json").document
    run = view["run"]
    assert (view["state"], view["output"]) == ("succeeded", "hello Ada")
    assert argosy("show", run, "--json").document == view
    assert re.search(r"greet.*succeeded", argosy("show", run).out)
    assert argosy("logs", run).out == "greet | greeting Ada\n"
    assert [summary["run"] for summary in argosy("runs", "--json").document] == [run]


def test_what_is_equal_comes_from_cache_and_says_why(argosy: Argosy) -> None:
    first = argosy("run", HELLO, "--names", '["Ada"]', "--json").document
    second = argosy("run", HELLO, "--names", '["Ada", "Grace"]', "--json").document
    states = {node["label"] or node["node"]: (node["state"], node["memo"]) for node in second["nodes"]}
    state, reason = states["name=Ada"]
    assert state == "cached"
    assert first["run"] in reason
    assert states["name=Grace"] == ("succeeded", "changed since the latest result: input name")


def test_a_graph_is_shown_in_three_forms_without_running_anything(argosy: Argosy) -> None:
    assert "hello: 3 nodes" in argosy("graph", HELLO).out
    document = argosy("graph", HELLO, "--format", "json").document
    assert [node["id"] for node in document["nodes"]] == ["greet-1", "greet-2", "join"]
    assert argosy("graph", HELLO, "--format", "mermaid").out.startswith("flowchart")
    assert not argosy.home.exists()


def test_a_cancelled_run_ends_and_what_waited_never_starts(argosy: Argosy) -> None:
    argosy.file("waiting.py", WAITING)
    run = argosy("run", "waiting.py", "--detach").out.strip()
    wait_until(lambda: "holding" in argosy("logs", run).out, "the first step runs")
    assert argosy("cancel", run).code == 0
    wait_until(lambda: argosy("show", run, "--json").document["state"] == "cancelled", "the run has ended")
    states = [node["state"] for node in argosy("show", run, "--json").document["nodes"]]
    assert states == ["cancelled", "cancelled"]
    again = argosy("cancel", run)
    assert (again.code, "only a running run can be cancelled" in again.err) == (2, True)


def test_a_failed_step_shows_its_line_and_the_exit_code_is_one(argosy: Argosy) -> None:
    file = argosy.file(
        "failing.py",
        "import argosy as ar\n\n\n@ar.step\ndef divide(by: int) -> float:\n    return 1 / by\n\n\n"
        "@ar.workflow\ndef failing(by: int = 0) -> float:\n    return divide(by)\n",
    )
    ran = argosy("run", file)
    assert ran.code == 1
    assert "ZeroDivisionError" in ran.out + ran.err
    assert "failing.py:6" in ran.out + ran.err or "line 6" in ran.out + ran.err
    assert argosy("run", file, "--by", "2").code == 0


def test_the_workflow_of_the_readme_runs_as_it_is_printed(argosy: Argosy) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    argosy.file("first.py", block)
    ran = argosy("run", "first.py", "--examples", "2000", "--json")
    assert ran.code == 0, ran
    best = ran.document["output"]
    assert best["accuracy"] > 0.85
    again = argosy("run", "first.py", "--examples", "2000", "--json").document
    assert {node["step"]: node["state"] for node in again["nodes"]}["ingest"] == "cached"


def test_json_is_one_document_and_everything_else_goes_to_standard_error(argosy: Argosy) -> None:
    file = argosy.file(
        "noisy.py",
        "import argosy as ar\nprint('noise while loading')\n\n\n"
        "@ar.step\ndef one() -> int:\n    return 1\n\n\n"
        "@ar.workflow\ndef noisy() -> int:\n    print('noise while tracing')\n    return one()\n",
    )
    ran = argosy("run", file, "--json")
    assert json.loads(ran.out)["output"] == 1
    assert "noise while loading" in ran.err
    assert "noise while tracing" in ran.err
