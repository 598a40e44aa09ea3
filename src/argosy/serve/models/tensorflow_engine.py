"""SavedModels that TensorFlow runs, on one thread: those that can not become ONNX."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput
from argosy.serve.models import companions, datatypes, warming
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec

Outputs = dict[str, NDArray[Any]]


class TensorFlowModel:
    """All signatures of a SavedModel; with a single one, that is the default too. Strings are ``bytes``."""

    platform = "tensorflow_savedmodel"

    def __init__(
        self,
        directory: Path,
        preprocessing: ImagePreprocessing | None = None,
        labels: tuple[str, ...] = (),
    ) -> None:
        """``directory`` holds ``saved_model.pb``. Raises InvalidInput that says why it can not be served."""
        self.preprocessing = preprocessing
        self.labels = labels
        self._tf = load_tensorflow()
        self._owner, self._functions = load_signatures(self._tf, directory)
        self.signatures: Mapping[str, Signature] = {
            name: read_signature(name, function) for name, function in self._functions.items()
        }
        default = self.signatures.get(DEFAULT_SIGNATURE)
        if default is not None:
            companions.check_labels(labels, default)
        self._arrange = companions.arrangement(preprocessing, default)

    def run(self, inputs: Tensors, signature: str, outputs: Sequence[str] = ()) -> Outputs:
        if self._arrange is not None and signature == DEFAULT_SIGNATURE:
            inputs = {name: self._arrange(value) for name, value in inputs.items()}
        return call(self._tf, self._functions[signature], inputs, outputs)

    def warm_up(self) -> None:
        self.signatures = warming.proven(self.signatures, self.run, self.preprocessing)


def load_tensorflow() -> Any:
    """TensorFlow, quiet and on one thread. Raises InvalidInput where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        import tensorflow as tf
    except ImportError:
        raise InvalidInput(
            "this model needs TensorFlow, which is not installed", hint="pip install 'argosy[tensorflow]'"
        ) from None
    tf.get_logger().setLevel("ERROR")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return tf  # It has run something in this process: its threads are as they are.
    return tf


def load_signatures(tf: Any, directory: Path) -> tuple[Any, dict[str, Any]]:
    """(what must live as long as the functions, the functions by signature).

    Raises InvalidInput for what is no SavedModel, or has no signatures.
    """
    try:
        loaded = tf.saved_model.load(str(directory))
    except Exception as error:
        raise InvalidInput(
            f"{directory} is not a SavedModel TensorFlow {tf.__version__} can load: {warming.cause(error)}",
            hint="save it again, or copy the whole folder again",
        ) from None
    functions = dict(loaded.signatures)
    if not functions:
        raise InvalidInput(
            f"the SavedModel in {directory} has no signatures, so nothing says how it is called",
            hint="save it with model.export(folder), or tf.saved_model.save(..., signatures=...)",
        )
    if len(functions) == 1:
        functions.setdefault(DEFAULT_SIGNATURE, next(iter(functions.values())))
    return loaded, functions


def call(tf: Any, function: Any, inputs: Tensors, outputs: Sequence[str] = ()) -> Outputs:
    """One call of a signature with arrays."""
    specs = function.structured_input_signature[1]
    given = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
    answer = function(**given)
    return {name: np.asarray(answer[name].numpy()) for name in (outputs or answer)}


def read_signature(name: str, function: Any) -> Signature:
    """Inputs and outputs of a signature. Raises InvalidInput for what the protocol has no word for."""
    inputs = _specs(name, "input", function.structured_input_signature[1])
    outputs = _specs(name, "output", function.structured_outputs)
    specs = (*inputs, *outputs)
    return Signature(inputs, outputs, bool(inputs) and all(spec.shape[:1] == (-1,) for spec in specs))


def _specs(signature: str, role: str, specs: Any) -> tuple[TensorSpec, ...]:
    found = []
    for name, spec in sorted(specs.items()):
        kind = getattr(spec, "dtype", None)
        is_text = kind is not None and kind.name == "string"
        datatype = datatypes.BYTES if is_text else _datatype(kind)
        if datatype is None or not hasattr(spec, "shape"):
            raise InvalidInput(
                f"{role} {name!r} of signature {signature!r} is {spec}; expected a tensor of numbers or "
                "texts",
                hint="save the model with a signature whose inputs and outputs are plain tensors",
            )
        rank = spec.shape.rank
        shape = (-1,) if rank is None else tuple(-1 if size is None else size for size in spec.shape)
        found.append(TensorSpec(name, datatype, shape))
    return tuple(found)


def _datatype(kind: Any) -> str | None:
    try:
        return datatypes.from_numpy(kind.as_numpy_dtype)
    except (AttributeError, TypeError):
        return None
