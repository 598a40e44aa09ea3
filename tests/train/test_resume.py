"""Killed anywhere, training goes on there."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import ROWS, Gangs, error_of, folder, summary_of, weights_of

pytestmark = pytest.mark.slow
OPTIONS: dict[str, Any] = {
    "epochs": 2,
    "global_batch_size": 32,
    "report_every_steps": 4,
    "checkpoint_every_steps": 4,
    "seed": 1,
}
STEPS = -(-ROWS // 32)
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def straight(gangs: Gangs, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted training of one process."""
    output = tmp_path_factory.mktemp("straight")
    codes = gangs(
        "fit",
        dataset=dataset,
        output=output,
        node=output / "node",
        model="noisy",
        deterministic=True,
        **OPTIONS,
    )
    assert codes == [0]
    return output


CRASHES = [
    f"train-steps-done:{random.Random(9).randint(1, 6)}",
    "train-steps-done:8",
    "checkpoint-arrays-written:2",
    "checkpoint-before-rename:7",
]


@pytest.mark.parametrize("crash", CRASHES)
def test_one_process_killed_and_resumed_has_the_weights_of_the_uninterrupted_run(
    gangs: Gangs, dataset: Path, straight: Path, tmp_path: Path, crash: str
) -> None:
    node = tmp_path / "node"
    run: dict[str, Any] = {"dataset": dataset, "output": tmp_path, "node": node, "model": "noisy"}
    assert gangs("fit", crash={0: crash}, deterministic=True, **run, **OPTIONS) == [KILLED]
    assert gangs("fit", deterministic=True, **run, **OPTIONS) == [0]
    for expected, found in zip(weights_of(straight), weights_of(tmp_path), strict=True):
        assert np.array_equal(expected, found)
    expected_metrics, metrics = summary_of(straight)["metrics"], summary_of(tmp_path)["metrics"]
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        assert metrics[name] == pytest.approx(expected_metrics[name], rel=1e-6)
    assert not list(node.glob("checkpoints/partial-*"))


def test_two_workers_go_on_and_another_number_of_workers_takes_over(
    gangs: Gangs, dataset: Path, tmp_path: Path
) -> None:
    whole = folder(tmp_path / "whole")
    assert gangs("fit", workers=2, dataset=dataset, output=whole, node=whole / "node", **OPTIONS) == [0, 0]
    node = tmp_path / "node"
    run: dict[str, Any] = {"dataset": dataset, "output": tmp_path, "node": node}
    crashed = gangs("fit", workers=2, crash={1: "train-steps-done:3"}, **run, **OPTIONS)
    assert KILLED in crashed
    crashed = gangs("fit", workers=2, crash={0: "train-steps-done:4"}, **run, **OPTIONS)
    assert KILLED in crashed
    assert gangs("fit", workers=1, **run, **OPTIONS) == [0]
    summary = summary_of(tmp_path)
    assert tuple(summary["resumed_from"]) > (0, 0)
    events = [body["message"] for kind, body in summary["reports"] if kind == "event"]
    assert events[0].startswith("resumed at epoch ")
    for expected, found in zip(weights_of(whole), weights_of(tmp_path), strict=True):
        assert np.allclose(expected, found, atol=2e-5)


def test_a_finished_training_is_not_repeated(
    gangs: Gangs, dataset: Path, straight: Path, tmp_path: Path
) -> None:
    options = OPTIONS | {"deterministic": True, "model": "noisy"}
    assert gangs("fit", dataset=dataset, output=tmp_path, node=straight / "node", **options) == [0]
    summary = summary_of(tmp_path)
    assert summary["resumed_from"] == [2, 0]
    assert not [body for kind, body in summary["reports"] if kind == "metrics"]
    assert summary["metrics"] == summary_of(straight)["metrics"]


def test_another_trainings_checkpoints_are_never_taken(
    gangs: Gangs, dataset: Path, straight: Path, tmp_path: Path
) -> None:
    options = OPTIONS | {"seed": 2}
    assert gangs("fit", dataset=dataset, output=tmp_path, node=straight / "node", **options) == [1]
    error = error_of(tmp_path)
    assert error.startswith("Conflict: ")
    assert "seed, variables differ" in error
