"""The number types of a tensor, in the words of the Open Inference Protocol, NumPy and ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from argosy.errors import InvalidInput

BYTES = "BYTES"

_NUMPY: dict[str, DTypeLike] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    BYTES: np.object_,
}
_NAMES = {np.dtype(kind): name for name, kind in _NUMPY.items()}
_ONNX = {"bool": "BOOL", "float16": "FP16", "float": "FP32", "double": "FP64", "string": BYTES} | {
    name.lower(): name for name in _NUMPY if "INT" in name
}


def numpy_dtype(datatype: str) -> np.dtype[Any]:
    """The dtype of an array that holds ``datatype``; BYTES are objects of type ``bytes``."""
    return np.dtype(_NUMPY[datatype])


def from_numpy(dtype: DTypeLike) -> str | None:
    """The protocol's word for a NumPy dtype, where it has one."""
    return _NAMES.get(np.dtype(dtype))


def from_onnx(kind: str) -> str | None:
    """The protocol's word for what ONNX Runtime calls ``tensor(float)`` and so on, where it has one."""
    if not kind.startswith("tensor("):
        return None
    return _ONNX.get(kind.removeprefix("tensor(").removesuffix(")"))


def as_texts(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Objects of type ``str`` for BYTES. Raises InvalidInput for what is not UTF-8."""
    texts = np.empty(values.shape, object)
    for position, value in enumerate(values.flat):
        try:
            texts.flat[position] = value.decode() if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            raise InvalidInput(
                f"element {position} of input {name!r} is not UTF-8 text, which the model reads",
                hint="encode the text as UTF-8",
            ) from None
    return texts


def as_bytes(values: NDArray[Any]) -> NDArray[Any]:
    """Objects of type ``bytes`` for texts."""
    result = np.empty(values.shape, object)
    for position, value in enumerate(values.flat):
        result.flat[position] = value if isinstance(value, bytes) else str(value).encode()
    return result
