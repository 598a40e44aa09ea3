"""Values of requests to tensors of a model, and back; every fault is named with its place."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.errors import InvalidInput
from argosy.serve.models.model import Signature, Tensors, TensorSpec

Tensor = NDArray[Any]

# The Open Inference Protocol's datatypes.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
# No array that fits in a request has more.
MOST_DIMENSIONS = 32
MOST_VALUES = 2**31 - 1
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(array: Tensor) -> str:
    if array.dtype.kind in "OSU":
        return "BYTES"
    return _NAMES[array.dtype]


def json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def from_json(value: Any, datatype: str, place: str) -> Tensor:
    """An array of numbers, booleans or byte strings (text, or ``{"b64"}``). Raises InvalidInput."""
    if datatype == "BYTES":
        return _texts(value, place)
    array = numbers(value)
    kinds = "b" if datatype == "BOOL" else "iuf" if datatype.startswith("FP") else "iu"
    # An empty list is of no type.
    if array.dtype.kind not in kinds and array.size:
        raise _misfit(value, array, datatype, place)
    if array.dtype == object:
        raise _misfit(value, array, datatype, place)
    return _cast(array, datatype, place)


def numbers(value: Any) -> Tensor:
    """The array of nested lists of numbers and booleans; one of objects, and empty, for anything else.

    Text never comes to numpy: it gives every element the room of the longest, so that a body of a few
    hundred kilobytes would become gigabytes.
    """
    level = [value]
    try:
        while level and isinstance(level[0], list):
            level = list(chain.from_iterable(map(list.__iter__, level)))
        # Quicker than to look at the type of each, and as strict: nothing else can be added to a number.
        sum(level)
        return np.array(value)
    except (ValueError, TypeError, OverflowError):
        return np.empty(0, object)


def check_sizes(shape: Sequence[int], place: str) -> None:
    """Raises InvalidInput for a shape that no array has, before anything is reckoned from it."""
    if len(shape) > MOST_DIMENSIONS:
        raise InvalidInput(f"{place} has a shape of {len(shape)} sizes, expected at most {MOST_DIMENSIONS}")
    if any(not 0 <= size <= MOST_VALUES for size in shape):
        raise InvalidInput(
            f"{place} has shape {list(shape)}, expected sizes of at least 0 and at most {MOST_VALUES}"
        )


def from_bytes(data: bytes, datatype: str, shape: Sequence[int], place: str) -> Tensor:
    """The tensor of its raw little-endian bytes; byte strings are each led by their length in 4 bytes."""
    if datatype == "BYTES":
        return shaped(_byte_strings(data, place), shape, place)
    dtype = DTYPES[datatype]
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise InvalidInput(
            f"{place} holds {len(data)} bytes of data, expected {expected} for {datatype} {list(shape)}",
            hint="send shape and data of the same array",
        )
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def to_bytes(array: Tensor) -> bytes:
    """Inverse of :func:`from_bytes`."""
    if array.dtype.kind not in "OSU":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    strings = [_as_bytes(one) for one in array.ravel()]
    return b"".join(struct.pack("<I", len(one)) + one for one in strings)


def shaped(array: Tensor, shape: Sequence[int], place: str) -> Tensor:
    """``array``, flat or nested, in this shape. Raises InvalidInput when its size is another."""
    if array.shape == tuple(shape):
        return array
    if array.size != math.prod(shape):
        raise InvalidInput(
            f"{place} holds {array.size} values, expected {math.prod(shape)} for shape {list(shape)}",
            hint="send shape and data of the same array",
        )
    if array.ndim > 1 and array.shape != tuple(shape):
        raise InvalidInput(f"{place} is nested as {list(array.shape)}, its shape says {list(shape)}")
    return array.reshape(shape)


def check_shape(array: Tensor, spec: TensorSpec, place: str) -> None:
    """Raises InvalidInput when the model does not take this shape."""
    shape, expected = array.shape, spec.shape
    fits = len(shape) == len(expected) and all(
        want in (-1, size) for size, want in zip(shape, expected, strict=True)
    )
    if not fits:
        raise InvalidInput(
            f"{place} has shape {list(shape)}, expected {list(expected)}"
            + (" (-1 is any size)" if -1 in expected else ""),
            hint="GET the model's metadata for its inputs",
        )
    if array.size == 0:
        raise InvalidInput(f"{place} has shape {list(shape)}: it is empty", hint="send at least one value")


def batch_of(inputs: Tensors, signature: Signature, name: str) -> tuple[int, Hashable]:
    """How many rows these inputs are, and with what they may be concatenated: None is with nothing."""
    if not signature.batched or not inputs:
        return 1, None
    rows = {len(array) if array.ndim else 0 for array in inputs.values()}
    if len(rows) != 1:
        sizes = ", ".join(f"{one!r} {len(array)}" for one, array in inputs.items())
        raise InvalidInput(f"the inputs have unequal first dimensions: {sizes}", hint="send one batch size")
    inner = tuple((one, array.dtype.char, array.shape[1:]) for one, array in sorted(inputs.items()))
    return rows.pop(), (name, inner)


def to_json(array: Tensor) -> Any:
    """What orjson writes: the array itself, or nested lists when it holds byte strings."""
    if array.dtype.kind not in "OSU":
        return np.ascontiguousarray(array)
    flat = [_as_text(one) for one in array.ravel()]
    nested: Any = np.array(flat, object).reshape(array.shape).tolist()
    return nested


def _cast(array: Tensor, datatype: str, place: str) -> Tensor:
    dtype = DTYPES[datatype]
    if array.dtype == dtype:
        return array
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            result = array.astype(dtype)
        wrong = ~np.isfinite(result)
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        wrong = (array < limits.min) | (array > limits.max)
        result = array.astype(dtype)
    else:
        return array.astype(dtype)
    if wrong.any():
        at = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise InvalidInput(f"{place}{_indices(at)} is {array[at]}, which is no {datatype}")
    return result


def _misfit(value: Any, array: Tensor, datatype: str, place: str) -> InvalidInput:
    what = {"BOOL": "booleans", "FP16": "numbers", "FP32": "numbers", "FP64": "numbers"}
    expected = what.get(datatype, "whole numbers")
    if not isinstance(value, list):
        return InvalidInput(f"{place} is {json_type(value)}, expected {expected} ({datatype})")
    at, leaf = _first_misfit(value, datatype)
    if at:
        return InvalidInput(
            f"{place}{_indices(at)} is {leaf}, expected {expected} ({datatype})",
            hint="GET the model's metadata for its inputs",
        )
    return InvalidInput(
        f"{place} is not a regular array of {expected}", hint="every row needs the same length"
    )


def _first_misfit(value: list[Any], datatype: str) -> tuple[tuple[int, ...], str]:
    """Where the first value of another type is, and what it is."""
    accepted: tuple[type, ...] = (int, float) if datatype.startswith("FP") else (int,)
    at, stack = [-1], [iter(value)]
    while stack:
        at[-1] += 1
        one = next(stack[-1], stack)
        if one is stack:
            at.pop()
            stack.pop()
        elif isinstance(one, list):
            at.append(-1)
            stack.append(iter(one))
        elif datatype == "BOOL":
            if not isinstance(one, bool):
                return tuple(at), json_type(one)
        elif isinstance(one, bool) or not isinstance(one, accepted):
            return tuple(at), repr(one) if isinstance(one, float) else json_type(one)
    return (), ""


def _texts(value: Any, place: str) -> Tensor:
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        sizes = {len(one) if isinstance(one, list) else -1 for one in level}
        if len(sizes) != 1 or len(shape) == MOST_DIMENSIONS:
            raise InvalidInput(f"{place} is not a regular array", hint="every row needs the same length")
        shape += sizes
        level = list(chain.from_iterable(level))
    result = np.empty(len(level), object)
    for position, one in enumerate(level):
        result[position] = one.encode() if isinstance(one, str) else _bytes_at(one, place, position, shape)
    return result.reshape(shape)


def _bytes_at(value: Any, place: str, position: int, shape: Sequence[int]) -> bytes:
    try:
        return bytes_of(value, place)
    except InvalidInput:
        indices = np.unravel_index(position, shape) if shape else ()
        return bytes_of(value, place + _indices(tuple(int(index) for index in indices)))


def bytes_of(value: Any, place: str) -> bytes:
    """The byte string of text, or of ``{"b64": ...}``. Raises InvalidInput."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(value.get("b64"), str):
        try:
            return binascii.a2b_base64("".join(value["b64"].split()), strict_mode=True)
        except ValueError as error:
            raise InvalidInput(f"{place}.b64 is not base64: {error}") from None
    raise InvalidInput(f"{place} is {json_type(value)}, expected text or {{'b64': ...}}")


def _byte_strings(data: bytes, place: str) -> Tensor:
    strings: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 4
        if end <= len(data):
            end += int.from_bytes(data[at:end], "little")
        if end > len(data) or end < at + 4:
            raise InvalidInput(
                f"{place}: byte string {len(strings)} ends behind the data",
                hint="lead every byte string with its length in 4 bytes, little-endian",
            )
        strings.append(data[at + 4 : end])
        at = end
    result = np.empty(len(strings), object)
    result[:] = strings
    return result


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _as_text(value: Any) -> Any:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _indices(at: tuple[int, ...]) -> str:
    return "".join(f"[{index}]" for index in at)
