"""A model directory with ``model.onnx``, run by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec

_DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(float16)": "FP16",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
    **{f"tensor(int{bits})": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}


class OnnxModel:
    """Inference uses the calling thread alone: replicas, not threads, are how a service grows."""

    platform = "onnxruntime"

    def __init__(
        self, session: Any, preprocessing: ImagePreprocessing | None, labels: tuple[str, ...]
    ) -> None:
        self.preprocessing = preprocessing
        self.labels = labels
        self._session = session
        inputs = tuple(_spec(one) for one in session.get_inputs())
        outputs = tuple(_spec(one) for one in session.get_outputs())
        batched = all(one.shape[:1] == (-1,) for one in (*inputs, *outputs))
        self.signatures: Mapping[str, Signature] = {DEFAULT_SIGNATURE: Signature(inputs, outputs, batched)}

    @classmethod
    def load(cls, directory: Path) -> OnnxModel:
        """Reads ``model.onnx`` and, when there, ``preprocessing.json`` and ``labels.json``.

        Raises InvalidInput naming the file at fault.
        """
        file = directory / "preprocessing.json"
        preprocessing = ImagePreprocessing.from_json(file.read_bytes()) if file.exists() else None
        session = _session(directory / "model.onnx")
        labels_file = directory / "labels.json"
        labels = tuple(str(label) for label in _json(labels_file)) if labels_file.exists() else ()
        return cls(session, preprocessing, labels)

    def run(self, inputs: Tensors, signature: str, outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        names = list(outputs) or [one.name for one in self.signatures[signature].outputs]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))

    def warm_up(self) -> None:
        signature = self.signatures[DEFAULT_SIGNATURE]
        shapes = {one.name: tuple(max(1, size) for size in one.shape) for one in signature.inputs}
        zeros = {one.name: np.zeros(shapes[one.name], dtype_of(one.datatype)) for one in signature.inputs}
        for name, answer in self.run(zeros, DEFAULT_SIGNATURE).items():
            if answer.dtype.kind == "f" and not np.isfinite(answer).all():
                raise InvalidInput(
                    f"the model answered zeros with {name!r} that is not finite",
                    hint="export the model again",
                )


def dtype_of(datatype: str) -> np.dtype[Any]:
    if datatype == "BYTES":
        return np.dtype(object)
    return np.dtype(datatype.lower().replace("fp", "float"))


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorSpec(value.name, _DATATYPES[value.type], shape)


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not file.is_file():
        raise InvalidInput(f"the model has no {file.name} ({file})", hint="export the model again")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for its errors.
        raise InvalidInput(f"{file} is not a model ONNX Runtime can load: {error}") from None


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{file} is not JSON: {error}") from None
