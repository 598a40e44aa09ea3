"""Small ONNX models of every shape that matters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Value = tuple[str, int, list[Any]]
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def save(
    file: Path,
    nodes: list[Any],
    inputs: list[Value],
    outputs: list[Value],
    constants: dict[str, np.ndarray] | None = None,
    domains: tuple[str, ...] = (),
) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    sets = [helper.make_opsetid("", 17), *(helper.make_opsetid(one, 1) for one in domains)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), file)
    return file


def doubling(file: Path, shape: list[Any] | None = None) -> Path:
    """y = 2 x, float32."""
    shape = ["batch", 3] if shape is None else shape
    node = helper.make_node("Add", ["x", "x"], ["y"])
    return save(file, [node], [("x", FLOAT, shape)], [("y", FLOAT, shape)])


def two_inputs(file: Path) -> Path:
    """sum and difference of float32[n, 2] and int64[n, 2]."""
    nodes = [
        helper.make_node("Cast", ["b"], ["float_b"], to=FLOAT),
        helper.make_node("Add", ["a", "float_b"], ["sum"]),
        helper.make_node("Sub", ["a", "float_b"], ["difference"]),
    ]
    shape = ["n", 2]
    return save(
        file,
        nodes,
        [("a", FLOAT, shape), ("b", INT64, shape)],
        [("sum", FLOAT, shape), ("difference", FLOAT, shape)],
    )


def texts(file: Path) -> Path:
    """The same text again, one a row."""
    node = helper.make_node("Identity", ["text"], ["same"])
    return save(file, [node], [("text", STRING, ["n"])], [("same", STRING, ["n"])])


def less_the_mean(file: Path) -> Path:
    """Every row less the mean of all rows: rows of two requests must not be mixed."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return save(file, nodes, [("x", FLOAT, ["n", 3])], [("y", FLOAT, ["n", 3])])


def first_row_only(file: Path) -> Path:
    """Takes any number of rows and answers one."""
    node = helper.make_node("Slice", ["x", "zero", "one"], ["y"])
    constants = {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}
    return save(file, [node], [("x", FLOAT, ["n", 3])], [("y", FLOAT, ["m", 3])], constants)


def unknown_operator(file: Path) -> Path:
    node = helper.make_node("Flummox", ["x"], ["y"], domain="org.example")
    return save(file, [node], [("x", FLOAT, ["n"])], [("y", FLOAT, ["n"])], domains=("org.example",))


def infinite(file: Path) -> Path:
    """log(x) of images: minus infinity for a blank one."""
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    shape = ["n", 4, 4, 1]
    return save(file, nodes, [("x", FLOAT, shape)], [("y", FLOAT, shape)])


def flat_images(file: Path) -> Path:
    """The sum of each grey image [n, 4, 4], twice."""
    nodes = [
        helper.make_node("ReduceSum", ["pixels", "axes"], ["one"], keepdims=1),
        helper.make_node("Reshape", ["one", "row"], ["flat"]),
        helper.make_node("Concat", ["flat", "flat"], ["scores"], axis=1),
    ]
    constants = {"axes": np.array([1, 2], np.int64), "row": np.array([-1, 1], np.int64)}
    return save(
        file, nodes, [("pixels", FLOAT, ["n", 4, 4])], [("scores", FLOAT, ["n", 2])], constants
    )  # fmt: skip


def channels_first(file: Path) -> Path:
    """The sum of each channel of images [n, 3, 2, 5], as PyTorch has them."""
    node = helper.make_node("ReduceSum", ["pixels", "axes"], ["sums"], keepdims=0)
    constants = {"axes": np.array([2, 3], np.int64)}
    inputs, outputs = ("pixels", FLOAT, ["n", 3, 2, 5]), ("sums", FLOAT, ["n", 3])
    return save(file, [node], [inputs], [outputs], constants)


def a_sequence(file: Path) -> Path:
    """Gives a sequence instead of a tensor."""
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x", "x"], ["pair"])],
        "small",
        [helper.make_tensor_value_info("x", FLOAT, ["n"])],
        [helper.make_tensor_sequence_value_info("pair", FLOAT, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)
    return file


def with_data_beside(file: Path) -> Path:
    """y = x + 1, where the ones lie in ``weights/ones.bin``."""
    node = helper.make_node("Add", ["x", "ones"], ["y"])
    ones = np.ones(1000, np.float32)
    save(file, [node], [("x", FLOAT, ["n", 1000])], [("y", FLOAT, ["n", 1000])], {"ones": ones})
    model = onnx.load(file)
    (file.parent / "weights").mkdir()
    onnx.save(
        model, file, save_as_external_data=True, location="weights/ones.bin", size_threshold=100
    )  # fmt: skip
    return file


def classifier(directory: Path, classes: int = 3) -> Path:
    """A model directory: grey 4 x 4 images to one score a class, the sum of the pixels times its number."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "matrix"], ["scores"]),
    ]
    matrix = np.tile(np.arange(classes, dtype=np.float32), (16, 1))
    inputs, outputs = ("images", FLOAT, ["n", 4, 4, 1]), ("scores", FLOAT, ["n", classes])
    save(directory / "model.onnx", nodes, [inputs], [outputs], {"matrix": matrix})
    (directory / "preprocessing.json").write_text('{"kind":"image","height":4,"width":4,"scale":1}')
    (directory / "labels.json").write_text(json.dumps([f"class {number}" for number in range(classes)]))
    (directory / "argosy.json").write_text(json.dumps({"name": "sums", "metrics": {"accuracy": 0.5}}))
    return directory
