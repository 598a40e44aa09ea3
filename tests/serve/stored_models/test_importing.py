"""What a user hands in, imported and asked: Keras files, SavedModels, versions, ONNX files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Laboratory, Refused

pytestmark = pytest.mark.slow
X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


@pytest.fixture
def bring_in(laboratory: Laboratory, models: Path, tmp_path: Path) -> Any:
    """Imports an entry of the models' folder; (the directory, its argosy.json)."""

    def run(entry: str, **options: Any) -> tuple[Path, dict[str, Any]]:
        destination = tmp_path / "imported" / entry
        laboratory(
            "bring_in", source=str(models / entry), destination=str(destination), name="sums", **options
        )  # fmt: skip
        assert [one.name for one in destination.parent.iterdir()] == [destination.name]
        return destination, json.loads((destination / "argosy.json").read_text())

    return run


def test_a_keras_model_answers_as_in_keras(laboratory: Laboratory, models: Path, bring_in: Any) -> None:
    directory, card = bring_in("several.keras")
    assert (card["runtime"], card["reason"]) == ("onnxruntime", "")
    assert card["source"] == {"kind": "keras", "version": 0}
    assert (directory / "saved_model" / "saved_model.pb").is_file()
    assert card["signatures"] == {"serving_default": "model.onnx", "serve": "model.onnx"}
    assert not list(directory.glob("signatures/*"))
    inputs = {"numbers": [[0.5, 1, -1, 2]] * 2, "words": [[0, 1, 1, 0, 0], [1] * 5]}
    found = laboratory("ask", directory=str(directory), inputs=inputs)
    assert found["platform"] == "onnxruntime_onnx"
    assert found["signatures"]["serving_default"]["batched"]
    assert found["signatures"]["serving_default"]["inputs"] == [
        ["numbers", "FP32", [-1, 4]], ["words", "INT32", [-1, 5]],
    ]  # fmt: skip
    expected = laboratory("keras_answer", file=str(models / "several.keras"), inputs=inputs)
    assert np.allclose(found["answer"]["output_0"], expected[0], atol=1e-5)
    assert np.allclose(found["answer"]["output_1"], expected[1], atol=1e-5)


def test_a_keras_model_with_preprocessing_and_labels_is_a_whole_model_directory(
    laboratory: Laboratory, models: Path, bring_in: Any
) -> None:
    directory, card = bring_in(
        "images.keras", preprocessing={"height": 6, "width": 6}, labels=["a", "b", "c"]
    )  # fmt: skip
    assert card["runtime"] == "onnxruntime"
    images = np.random.default_rng(0).random((2, 6, 6, 1), np.float32).tolist()
    found = laboratory("ask", directory=str(directory), inputs={"images": images})
    assert found["labels"] == ["a", "b", "c"]
    expected = laboratory("keras_answer", file=str(models / "images.keras"), inputs={"pixels": images})
    assert np.allclose(found["answer"]["probabilities"], expected[0], atol=1e-5)
    served = laboratory(
        "ask",
        directory=str(directory / "saved_model"),
        inputs={"images": np.zeros((1, 6, 6), int).tolist()},
    )
    assert sorted(served["signatures"]) == ["image_bytes", "serving_default"]


def test_a_keras_model_of_flat_grey_images_takes_preprocessing(bring_in: Any, laboratory: Laboratory) -> None:
    directory, card = bring_in("flat.keras", preprocessing={"height": 6, "width": 6})
    assert card["runtime"] == "onnxruntime"
    inputs = laboratory("ask", directory=str(directory), inputs={"input_layer": np.zeros((1, 6, 6)).tolist()})
    assert inputs["signatures"]["serving_default"]["batched"]


def test_preprocessing_that_does_not_fit_is_refused(bring_in: Any) -> None:
    with pytest.raises(Refused, match=r"makes float32 \[n, 7, 7, 1\]"):
        bring_in("images.keras", preprocessing={"height": 7, "width": 7})
    with pytest.raises(Refused, match="not the preprocessing of images"):
        bring_in("images.keras", preprocessing={"height": "seven"})


def test_labels_that_are_too_few_are_refused(bring_in: Any) -> None:
    with pytest.raises(Refused, match="2 labels and"):
        bring_in("images.keras", labels=["a", "b"])


def test_a_keras_model_with_layers_nobody_knows_is_refused(bring_in: Any) -> None:
    with pytest.raises(Refused, match="'Unknown'") as caught:
        bring_in("unknown.keras")
    assert caught.value.kind == "InvalidInput"
    assert "SavedModel" in caught.value.hint


def test_a_corrupted_keras_archive_is_refused(bring_in: Any) -> None:
    with pytest.raises(Refused, match=r"corrupted\.keras is not a model Keras .* can load: "):
        bring_in("corrupted.keras")


def test_both_signatures_of_a_saved_model_become_onnx(laboratory: Laboratory, bring_in: Any) -> None:
    directory, card = bring_in("two_signatures")
    assert card["runtime"] == "onnxruntime"
    found = laboratory("ask", directory=str(directory), inputs={"x": X})
    assert sorted(found["signatures"]) == ["half", "serving_default"]
    assert found["answer"] == {"y": [[2, 4, 6], [8, 10, 12]]}
    half = laboratory("ask", directory=str(directory), inputs={"x": X}, signature="half")
    assert half["answer"] == {"z": [[0.5, 1, 1.5], [2, 2.5, 3]]}


def test_a_saved_model_is_served_by_tensorflow_as_it_is(laboratory: Laboratory, models: Path) -> None:
    found = laboratory("ask", directory=str(models / "two_signatures"), inputs={"x": X})
    assert found["platform"] == "tensorflow_savedmodel"
    assert sorted(found["signatures"]) == ["half", "serving_default"]
    assert found["signatures"]["serving_default"]["batched"]
    assert found["answer"] == {"y": [[2, 4, 6], [8, 10, 12]]}


def test_a_single_signature_of_another_name_is_the_default(laboratory: Laboratory, bring_in: Any) -> None:
    directory, _ = bring_in("other_name")
    found = laboratory("ask", directory=str(directory), inputs={"x": X})
    assert found["answer"] == {"y": [[3, 6, 9], [12, 15, 18]]}
    assert sorted(found["signatures"]) == ["serving_default", "triple"]


def test_a_static_batch_of_one_is_not_batched(laboratory: Laboratory, bring_in: Any) -> None:
    directory, card = bring_in("static_batch")
    assert card["runtime"] == "onnxruntime"
    found = laboratory("ask", directory=str(directory), inputs={"x": X[:1]})
    assert found["signatures"]["serving_default"] == {
        "batched": False, "inputs": [["x", "FP32", [1, 3]]], "outputs": [["y", "FP32", [1, 3]]],
    }  # fmt: skip


def test_what_can_not_become_onnx_is_served_by_tensorflow_and_says_why(
    laboratory: Laboratory, bring_in: Any
) -> None:
    directory, card = bring_in("text_lengths")
    assert card["runtime"] == "tensorflow"
    assert "signature 'serving_default' can not become ONNX: " in card["reason"]
    assert not (directory / "model.onnx").exists()
    found = laboratory("ask", directory=str(directory), inputs={"text": ["one", "three"]})
    assert found["platform"] == "tensorflow_savedmodel"
    assert found["answer"] == {"length": [3, 5], "upper": ["ONE", "THREE"]}
    assert found["signatures"]["serving_default"]["inputs"] == [["text", "BYTES", [-1]]]


def test_serialized_examples_are_served(laboratory: Laboratory, bring_in: Any) -> None:
    directory, card = bring_in("parsed_examples")
    assert card["runtime"] == "tensorflow"
    found = laboratory("ask", directory=str(directory), inputs={"examples": ["hex:"]})
    assert found["answer"] == {"x": [[1, 2]]}


def test_a_saved_model_that_reads_images_is_served_with_both_signatures(
    laboratory: Laboratory, bring_in: Any
) -> None:
    directory, card = bring_in("argosy_saved_model")
    assert card["runtime"] == "tensorflow"
    assert "'image_bytes'" in card["reason"]
    found = laboratory("ask", directory=str(directory), inputs={"images": np.zeros((2, 6, 6), int).tolist()})
    assert found["signatures"]["image_bytes"]["inputs"] == [["image_bytes", "BYTES", [-1]]]
    assert found["signatures"]["image_bytes"]["batched"]
    assert np.shape(found["answer"]["probabilities"]) == (2, 3)


def test_a_saved_model_without_variables_is_served(laboratory: Laboratory, bring_in: Any) -> None:
    directory, _ = bring_in("without_variables")
    assert laboratory("ask", directory=str(directory), inputs={"x": X[:1]})["answer"] == {"y": [[2, 3, 4]]}


def test_a_saved_model_without_signatures_is_refused(bring_in: Any) -> None:
    with pytest.raises(Refused, match="has no signatures"):
        bring_in("without_signatures")


def test_a_saved_model_whose_variables_are_cut_is_refused(bring_in: Any) -> None:
    with pytest.raises(Refused, match=r"not a SavedModel TensorFlow .* can load: "):
        bring_in("broken_variables")


@pytest.mark.parametrize(("version", "factor"), [(0, 10), (1, 1), (2, 2), (10, 10)])
def test_a_version_of_a_tensorflow_serving_folder_is_imported(
    laboratory: Laboratory, bring_in: Any, version: int, factor: int
) -> None:
    directory, card = bring_in("numbered", version=version)
    assert card["source"] == {"kind": "saved_model", "version": factor}
    found = laboratory("ask", directory=str(directory), inputs={"x": [[1, 2, 3]]})
    assert found["answer"] == {"y": [[factor, 2 * factor, 3 * factor]]}


def test_a_version_that_is_not_there_or_broken_is_refused(bring_in: Any) -> None:
    with pytest.raises(Refused, match="has no version 5") as caught:
        bring_in("numbered", version=5)
    assert caught.value.hint == "versions there: 1, 2, 10"
    with pytest.raises(Refused, match=r"version 11 of .* can not be served"):
        bring_in("numbered", version=11)
