"""Several people on one home, and a control plane that is killed under them."""

from __future__ import annotations

import os
import signal

import pytest

from .conftest import HELLO, Argosy, result_of, wait_until

pytestmark = pytest.mark.slow


def test_people_who_start_at_once_share_one_control_plane(argosy: Argosy) -> None:
    runs = [
        argosy.start("run", HELLO, "--names", f'["{name}"]', "--json") for name in ("Ada", "Grace", "Mary")
    ]
    results = [result_of(run) for run in runs]
    assert [result.code for result in results] == [0, 0, 0], results
    assert [r.document["output"] for r in results] == ["hello Ada", "hello Grace", "hello Mary"]
    assert sum("starting the control plane" in result.err for result in results) == 1
    assert len([line for line in argosy.processes() if "argosy.control" in line]) == 1
    assert {r["run"] for r in argosy("runs", "--json").document} == {r.document["run"] for r in results}


def test_a_killed_control_plane_comes_back_with_the_next_command_and_the_run_goes_on(argosy: Argosy) -> None:
    go = argosy.folder / "go"
    argosy.file(
        "patient.py",
        "import time\nfrom pathlib import Path\n\nimport argosy as ar\n\n\n"
        "@ar.step\ndef wait(path: str) -> str:\n    print('waiting', flush=True)\n"
        "    while not Path(path).exists():\n        time.sleep(0.01)\n    return 'went'\n\n\n"
        "@ar.step\ndef last(word: str) -> str:\n    return word + ' on'\n\n\n"
        "@ar.workflow\ndef patient(path: str) -> str:\n    return last(wait(path))\n",
    )
    run = argosy("run", "patient.py", "--path", str(go), "--detach").out.strip()
    wait_until(lambda: "waiting" in argosy("logs", run).out, "the first step runs")
    os.kill(argosy("status", "--json").document["pid"], signal.SIGKILL)
    go.touch()
    assert argosy("up").code == 0
    wait_until(lambda: argosy("show", run, "--json").document["state"] != "running", "the run has ended")
    view = argosy("show", run, "--json").document
    assert (view["state"], view["output"]) == ("succeeded", "went on")
    assert [len(node["attempts"]) for node in view["nodes"]] == [1, 1]
