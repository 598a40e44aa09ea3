"""One model directory, loaded: ONNX Runtime and the preprocessing it was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput

INPUT = "images"
OUTPUT = "probabilities"


class ServedModel:
    """``predict`` maps float32[n, height, width, channels] to float32[n, classes].

    Inference uses the calling thread alone: replicas, not threads, are how a service grows.
    """

    def __init__(self, session: Any, preprocessing: ImagePreprocessing, labels: tuple[str, ...]) -> None:
        self.preprocessing = preprocessing
        self.labels = labels
        self._session = session

    @classmethod
    def load(cls, directory: Path) -> ServedModel:
        """Reads ``model.onnx``, ``preprocessing.json`` and, when there, ``labels.json``.

        Raises InvalidInput naming the file at fault.
        """
        preprocessing = _preprocessing(directory / "preprocessing.json")
        session = _session(directory / "model.onnx")
        labels_file = directory / "labels.json"
        labels = tuple(str(label) for label in _json(labels_file)) if labels_file.exists() else ()
        return cls(session, preprocessing, labels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.preprocessing.shape

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: images})[0]
        return result

    def warm_up(self) -> None:
        """One answer for a blank image. Raises InvalidInput when it is not a row of numbers."""
        answer = self.predict(np.zeros((1, *self.input_shape), np.float32))
        if answer.ndim != 2 or len(answer) != 1 or not np.isfinite(answer).all():
            raise InvalidInput(
                f"the model answered a blank image with shape {list(answer.shape)}, expected [1, classes] of "
                "finite numbers",
                hint="export the model again",
            )

    def metadata(self) -> dict[str, Any]:
        """Inputs, outputs and labels, in the words of the Open Inference Protocol."""
        inputs = [{"name": INPUT, "datatype": "FP32", "shape": [-1, *self.input_shape]}]
        outputs = [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(self.labels) or -1]}]
        return {"platform": "onnxruntime", "inputs": inputs, "outputs": outputs, "labels": list(self.labels)}


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not file.is_file():
        raise InvalidInput(f"the model has no {file.name} ({file})", hint="export the model again")
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for its errors.
        raise InvalidInput(f"{file} is not a model ONNX Runtime can load: {error}") from None
    names = [one.name for one in session.get_inputs()], [one.name for one in session.get_outputs()]
    if names[0] != [INPUT] or OUTPUT not in names[1]:
        raise InvalidInput(
            f"{file} maps {names[0]} to {names[1]}, expected ['{INPUT}'] to ['{OUTPUT}']",
            hint="export it with argosy.train",
        )
    return session


def _preprocessing(file: Path) -> ImagePreprocessing:
    try:
        return ImagePreprocessing.from_json(file.read_bytes())
    except OSError:
        raise InvalidInput(f"the model has no {file.name} ({file})", hint="export the model again") from None


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{file} is not JSON: {error}") from None
