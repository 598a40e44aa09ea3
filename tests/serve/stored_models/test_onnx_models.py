"""ONNX models of every shape: what is read from them, what they answer, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from argosy.errors import InvalidInput
from argosy.serve.models.loading import load
from argosy.serve.models.model import DEFAULT_SIGNATURE, TensorSpec
from argosy.serve.models.onnx_engine import OnnxModel

from . import onnx_models


def model_of(file: Path) -> OnnxModel:
    return OnnxModel({DEFAULT_SIGNATURE: file})


def warm(file: Path) -> OnnxModel:
    model = model_of(file)
    model.warm_up()
    return model


def test_a_model_directory_is_loaded_with_preprocessing_and_labels(tmp_path: Path) -> None:
    model = load(onnx_models.classifier(tmp_path / "model"))
    model.warm_up()
    assert model.platform == "onnxruntime_onnx"
    assert model.preprocessing is not None
    assert model.labels == ("class 0", "class 1", "class 2")
    signature = model.signatures[DEFAULT_SIGNATURE]
    assert signature.inputs == (TensorSpec("images", "FP32", (-1, 4, 4, 1)),)
    assert signature.outputs == (TensorSpec("scores", "FP32", (-1, 3)),)
    assert signature.batched
    images = model.preprocessing.from_arrays(np.ones((2, 4, 4), np.uint8))
    answer = model.run({"images": images}, DEFAULT_SIGNATURE)
    assert answer["scores"].tolist() == [[0, 16, 32]] * 2


def test_a_directory_of_model_onnx_alone_serves_tensors(tmp_path: Path) -> None:
    onnx_models.doubling(tmp_path / "model.onnx")
    model = load(tmp_path)
    model.warm_up()
    assert (model.preprocessing, model.labels) == (None, ())
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(model.run({"x": x}, DEFAULT_SIGNATURE)["y"], 2 * x)


def test_several_inputs_and_outputs_of_several_types_are_served_by_name(tmp_path: Path) -> None:
    model = warm(onnx_models.two_inputs(tmp_path / "model.onnx"))
    signature = model.signatures[DEFAULT_SIGNATURE]
    assert [(spec.name, spec.datatype) for spec in signature.inputs] == [("a", "FP32"), ("b", "INT64")]
    assert signature.batched
    inputs = {"b": np.array([[1, 2]]), "a": np.array([[10, 20]], np.float32)}
    both = model.run(inputs, DEFAULT_SIGNATURE)
    assert {name: value.tolist() for name, value in both.items()} == {
        "sum": [[11, 22]], "difference": [[9, 18]],
    }  # fmt: skip
    assert list(model.run(inputs, DEFAULT_SIGNATURE, ["difference"])) == ["difference"]


def test_texts_go_in_and_come_out_as_bytes(tmp_path: Path) -> None:
    model = warm(onnx_models.texts(tmp_path / "model.onnx"))
    assert model.signatures[DEFAULT_SIGNATURE].inputs == (TensorSpec("text", "BYTES", (-1,)),)
    given = np.array(["grüße".encode(), "b"], object)
    answer = model.run({"text": given}, DEFAULT_SIGNATURE)["same"]
    assert answer.tolist() == ["grüße".encode(), b"b"]
    with pytest.raises(InvalidInput, match="element 0 of input 'text' is not UTF-8"):
        model.run({"text": np.array([b"\xff"], object)}, DEFAULT_SIGNATURE)


def test_a_static_first_dimension_is_no_batch(tmp_path: Path) -> None:
    model = warm(onnx_models.doubling(tmp_path / "model.onnx", [1, 3]))
    assert model.signatures[DEFAULT_SIGNATURE].inputs[0].shape == (1, 3)
    assert not model.signatures[DEFAULT_SIGNATURE].batched


@pytest.mark.parametrize("make", [onnx_models.less_the_mean, onnx_models.first_row_only])
def test_rows_that_depend_on_each_other_are_not_mixed(tmp_path: Path, make: object) -> None:
    model = model_of(make(tmp_path / "model.onnx"))  # type: ignore[operator]
    assert model.signatures[DEFAULT_SIGNATURE].batched
    model.warm_up()
    assert not model.signatures[DEFAULT_SIGNATURE].batched


def test_a_model_without_dimensions_is_served(tmp_path: Path) -> None:
    model = warm(onnx_models.doubling(tmp_path / "model.onnx", []))
    assert model.run({"x": np.array(2, np.float32)}, DEFAULT_SIGNATURE)["y"] == 4
    assert not model.signatures[DEFAULT_SIGNATURE].batched


def test_grey_images_lose_their_channel_where_the_model_has_none(tmp_path: Path) -> None:
    onnx_models.flat_images(tmp_path / "model.onnx")
    (tmp_path / "preprocessing.json").write_text('{"kind":"image","height":4,"width":4,"scale":1}')
    model = load(tmp_path)
    model.warm_up()
    assert model.preprocessing is not None
    images = model.preprocessing.from_arrays(np.full((2, 4, 4), 3, np.uint8))
    assert images.shape == (2, 4, 4, 1)
    assert model.run({"pixels": images}, DEFAULT_SIGNATURE)["scores"].tolist() == [[48, 48], [48, 48]]
    assert model.signatures[DEFAULT_SIGNATURE].batched


def test_images_are_turned_for_a_model_whose_channels_come_first(tmp_path: Path) -> None:
    onnx_models.channels_first(tmp_path / "model.onnx")
    preprocessing = '{"kind":"image","height":2,"width":5,"channels":3,"scale":1}'
    (tmp_path / "preprocessing.json").write_text(preprocessing)
    model = load(tmp_path)
    model.warm_up()
    assert model.preprocessing is not None
    pixels = np.tile(np.array([1, 2, 3], np.uint8), (4, 2, 5, 1))
    images = model.preprocessing.from_arrays(pixels)
    expected = [[10, 20, 30]] * 4
    assert model.run({"pixels": images}, DEFAULT_SIGNATURE)["sums"].tolist() == expected
    turned = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    assert model.run({"pixels": turned}, DEFAULT_SIGNATURE)["sums"].tolist() == expected
    assert model.signatures[DEFAULT_SIGNATURE].batched


def test_several_signatures_are_several_files(tmp_path: Path) -> None:
    onnx_models.doubling(tmp_path / "model.onnx")
    onnx_models.two_inputs(tmp_path / "signatures" / "both.onnx")
    files = {"both": "signatures/both.onnx", "again": "model.onnx"}
    (tmp_path / "argosy.json").write_text(json.dumps({"signatures": files}))
    model = load(tmp_path)
    model.warm_up()
    assert sorted(model.signatures) == ["again", "both", DEFAULT_SIGNATURE]
    inputs = {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 2), np.int64)}
    assert model.run(inputs, "both", ["sum"])["sum"].tolist() == [[2, 2]]


def test_a_signature_that_lies_outside_the_directory_is_refused(tmp_path: Path) -> None:
    onnx_models.doubling(tmp_path / "model" / "model.onnx")
    onnx_models.doubling(tmp_path / "other.onnx")
    for file in ("../other.onnx", str(tmp_path / "other.onnx")):
        (tmp_path / "model" / "argosy.json").write_text(json.dumps({"signatures": {"other": file}}))
        with pytest.raises(InvalidInput, match="lies outside"):
            load(tmp_path / "model")


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    file = onnx_models.doubling(tmp_path / "model.onnx")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InvalidInput, match=r"not a whole ONNX file: it is cut short: \d+ bytes are missing"):
        model_of(file)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    file = onnx_models.unknown_operator(tmp_path / "model.onnx")
    with pytest.raises(InvalidInput, match="Flummox") as caught:
        model_of(file)
    assert "operator" in caught.value.hint


def test_what_is_no_tensor_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"output 'pair' .* is a seq") as caught:
        model_of(onnx_models.a_sequence(tmp_path / "model.onnx"))
    assert "zipmap" in caught.value.hint


def test_an_answer_of_infinity_to_a_blank_image_is_no_answer(tmp_path: Path) -> None:
    onnx_models.infinite(tmp_path / "model.onnx")
    load(tmp_path).warm_up()
    (tmp_path / "preprocessing.json").write_text('{"kind":"image","height":4,"width":4}')
    with pytest.raises(InvalidInput, match=r"'y' .* NaN or infinity"):
        load(tmp_path).warm_up()


def test_preprocessing_of_another_size_is_refused(tmp_path: Path) -> None:
    onnx_models.flat_images(tmp_path / "model.onnx")
    (tmp_path / "preprocessing.json").write_text('{"kind":"image","height":5,"width":4}')
    with pytest.raises(
        InvalidInput, match=r"makes float32 \[n, 5, 4, 1\] and .*'pixels' is FP32 \[-1, 4, 4\]"
    ):
        load(tmp_path)


def test_labels_must_be_as_many_as_the_outputs(tmp_path: Path) -> None:
    directory = onnx_models.classifier(tmp_path / "model")
    (directory / "labels.json").write_text(json.dumps(["cat", "dog"]))
    with pytest.raises(InvalidInput, match="2 labels and the model's outputs have 3"):
        load(directory)


@pytest.mark.parametrize("content", ["", "{", "3", '[["a"]]', '{"0": "a", "2": "b"}'])
def test_labels_that_are_no_names_are_refused(tmp_path: Path, content: str) -> None:
    directory = onnx_models.classifier(tmp_path / "model")
    (directory / "labels.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"labels\.json"):
        load(directory)


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"neither model\.onnx nor a SavedModel"):
        load(tmp_path)
    with pytest.raises(InvalidInput, match="does not exist"):
        load(tmp_path / "nothing")
