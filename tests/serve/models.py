"""Small ONNX models in the layout of a model directory."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

CLASSES = 10
SIDE = 28


def weights(seed: int, side: int = SIDE) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    matrix = random.normal(scale=0.1, size=(side * side, CLASSES))
    return matrix.astype(np.float32), random.normal(size=CLASSES).astype(np.float32)


def make_model(directory: Path, seed: int = 0, side: int = SIDE) -> Path:
    """A linear classifier over square images, different for every seed."""
    directory.mkdir(parents=True, exist_ok=True)
    matrix, bias = weights(seed, side)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "matrix", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", side, side, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    preprocessing = {
        "kind": "image",
        "height": side,
        "width": side,
        "channels": 1,
        "scale": 1 / 255,
        "offset": 0.0,
    }
    (directory / "preprocessing.json").write_text(json.dumps(preprocessing))
    (directory / "labels.json").write_text(json.dumps([f"class {number}" for number in range(CLASSES)]))
    (directory / "argosy.json").write_text(json.dumps({"name": "linear", "metrics": {}}))
    return directory


def expected(seed: int, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """float64[n, 10]: what the model of that seed answers for uint8[n, 28, 28]."""
    matrix, bias = weights(seed)
    logits = (pixels.reshape(len(pixels), -1) / 255.0) @ matrix.astype("f8") + bias
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def pixels(count: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def encode(image: NDArray[np.uint8], kind: str = "png") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def predict_body(*images: NDArray[np.uint8]) -> bytes:
    instances: list[Any] = [b64(encode(image)) for image in images]
    return json.dumps({"instances": instances}).encode()
