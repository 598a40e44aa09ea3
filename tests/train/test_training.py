"""The loop, on one process and on two."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from argosy import data

from .conftest import ROWS, VALIDATION_ROWS, Gangs, error_of, folder, summary_of, weights_of

pytestmark = pytest.mark.slow
OPTIONS = {"epochs": 2, "global_batch_size": 32, "report_every_steps": 5, "seed": 3}
STEPS = -(-ROWS // 32)


def test_two_workers_end_with_equal_weights_though_each_drops_out_its_own(
    gangs: Gangs, dataset: Path, tmp_path: Path
) -> None:
    node = folder(tmp_path / "node")
    codes = gangs("fit", workers=2, dataset=dataset, output=tmp_path, node=node, model="noisy", **OPTIONS)
    assert codes == [0, 0], error_of(tmp_path)
    for first, second in zip(weights_of(tmp_path, 0), weights_of(tmp_path, 1), strict=True):
        if first.shape == (2,) and first.dtype != np.float32:
            continue
        assert np.array_equal(first, second)
    chief, other = summary_of(tmp_path, 0), summary_of(tmp_path, 1)
    assert chief["seeds"] != other["seeds"]
    assert chief["metrics"]["validation_accuracy"] > 0.9
    assert chief["steps"] == other["steps"] == 2 * STEPS


def test_metrics_are_reported_per_rank_and_step_and_written_for_tensorboard(
    gangs: Gangs, dataset: Path, tmp_path: Path
) -> None:
    node = folder(tmp_path / "node")
    assert gangs("fit", workers=2, dataset=dataset, output=tmp_path, node=node, **OPTIONS) == [0, 0]
    for rank in (0, 1):
        reports = summary_of(tmp_path, rank)["reports"]
        metrics = [body for kind, body in reports if kind == "metrics" and "loss" in body["values"]]
        assert [body["step"] for body in metrics] == [5, 10, 15, 20, 25, 30, 35, 40]
        assert [body["epoch"] for body in metrics] == [1] * 4 + [2] * 4
        names = {"loss", "accuracy", "examples_per_second", "step_latency_ms"}
        assert all(set(body["values"]) == names for body in metrics)
        progress = [body for kind, body in reports if kind == "progress"]
        assert progress[-1]["done"] == progress[-1]["total"] == 2 * STEPS
        assert any(body["message"] == "validating" for body in progress)
        validations = [body for _, body in reports if "validation_accuracy" in body.get("values", {})]
        assert len(validations) == (2 if rank == 0 else 0)
    log = (tmp_path / "log-0.txt").read_text()
    assert "epoch 2 of 2: loss " in log
    assert (tmp_path / "log-1.txt").read_text() == ""
    (events,) = (node / "tensorboard").iterdir()
    assert b"validation_accuracy" in events.read_bytes()
    assert len(list((node / "checkpoints").iterdir())) == 2


def test_the_number_of_workers_changes_neither_the_training_nor_what_is_measured(
    gangs: Gangs, dataset: Path, tmp_path: Path
) -> None:
    model = "synchronized"
    for workers in (1, 2):
        output = folder(tmp_path / str(workers))
        codes = gangs(
            "fit",
            workers=workers,
            dataset=dataset,
            output=output,
            node=output / "node",
            model=model,
            **OPTIONS,
        )
        assert codes == [0] * workers
    alone, together = weights_of(tmp_path / "1"), weights_of(tmp_path / "2")
    for first, second in zip(alone, together, strict=True):
        assert np.allclose(first, second, atol=2e-5)
    metrics = summary_of(tmp_path / "2")["metrics"]
    weights = tmp_path / "2" / "weights-0.npz"
    assert gangs("evaluate", dataset=dataset, output=tmp_path, weights=weights, model=model) == [0]
    loss, accuracy = json.loads((tmp_path / "evaluation.json").read_text())
    assert metrics["validation_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["validation_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert accuracy * VALIDATION_ROWS == pytest.approx(round(accuracy * VALIDATION_ROWS))


def test_a_loss_that_is_not_finite_ends_every_rank_and_names_the_step(
    gangs: Gangs, dataset: Path, tmp_path: Path
) -> None:
    codes = gangs("fit", dataset=dataset, output=tmp_path, node=tmp_path / "node", explode=True, **OPTIONS)
    assert codes == [1]
    error = error_of(tmp_path)
    assert error.startswith("RunFailed: training diverged")
    assert "at step " in error
    assert "(epoch 1, step " in error
    assert not list((tmp_path / "node").glob("checkpoints/step-*"))


def test_a_process_that_used_tensorflow_before_is_told_so(
    gangs: Gangs, dataset: Path, tmp_path: Path
) -> None:
    codes = gangs(
        "use_tensorflow_then_fit", workers=2, dataset=dataset, output=tmp_path, node=tmp_path / "node"
    )
    assert codes[0] != 0
    errors = [error_of(tmp_path, rank) for rank in (0, 1) if (tmp_path / f"error-{rank}.txt").exists()]
    assert all("used TensorFlow before it joined its gang" in error for error in errors)


def test_a_split_that_is_missing_is_named(gangs: Gangs, tmp_path: Path) -> None:
    writer = data.DatasetWriter(tmp_path / "dataset", {"labels": data.Column("uint8", ())})
    writer.append("train", {"labels": np.zeros(4, np.uint8)})
    writer.finish(name="half")
    codes = gangs("fit", dataset=tmp_path / "dataset", output=tmp_path, node=tmp_path / "node", **OPTIONS)
    assert codes == [1]
    assert error_of(tmp_path).startswith("NotFound: dataset 'half' has no split 'validation'")


@pytest.mark.parametrize(
    ("model", "found"),
    [("shapeless", "is a Sequential whose input is not known"), ("larger", "takes [(28, 28, 1)]")],
)
def test_a_model_that_does_not_take_what_the_preprocessing_makes_is_refused(
    gangs: Gangs, dataset: Path, tmp_path: Path, model: str, found: str
) -> None:
    codes = gangs("fit", dataset=dataset, output=tmp_path, node=tmp_path / "node", model=model, **OPTIONS)
    assert codes == [1]
    assert error_of(tmp_path).startswith(
        f"InvalidRequest: the model {found}; expected one input of (12, 12, 1)"
    )
