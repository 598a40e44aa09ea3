"""Schemas of tensors and images as JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from argosy.data.preprocessing import ImagePreprocessing
from argosy.serve.model_server.openapi_documents import TEXT, any_of, array_of, open_object
from argosy.serve.model_server.tensors import DTYPES
from argosy.serve.models.model import Signature, TensorSpec

# One white pixel.
EXAMPLE_IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTjVWQAAAABJRU5ErkJggg=="
EXAMPLE_VALUES = 1000
PIXEL: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 255}
BASE64: dict[str, Any] = {
    "type": "string",
    "contentEncoding": "base64",
    "format": "byte",
    "minLength": 1,
    "examples": [EXAMPLE_IMAGE],
}


def leaf(datatype: str) -> dict[str, Any]:
    """One value of a tensor of a request."""
    if datatype == "BOOL":
        return {"type": "boolean"}
    if datatype == "BYTES":
        return any_of(
            [TEXT, open_object({"b64": {"type": "string", "contentEncoding": "base64", "format": "byte"}})]
        )
    dtype = DTYPES[datatype]
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        return {"type": "number", "minimum": -most, "maximum": most}
    return {"type": "integer", "minimum": int(np.iinfo(dtype).min), "maximum": int(np.iinfo(dtype).max)}


def nested(items: dict[str, Any], shape: Sequence[int], most: int | None = None) -> dict[str, Any]:
    """Lists in lists of this shape. ``most`` is for the first of them, where its size is not given."""
    schema = items
    for position in range(len(shape) - 1, -1, -1):
        size = shape[position]
        if size >= 0:
            schema = array_of(schema, size, size)
        else:
            schema = array_of(schema, 1, most if position == 0 else None)
    return schema


def answered(datatype: str, shape: Sequence[int]) -> dict[str, Any]:
    """A tensor of an answer, which may be empty where its size is not given."""
    schema: dict[str, Any] = answered_leaf(datatype)
    for size in reversed(shape):
        schema = array_of(schema, size, size) if size >= 0 else array_of(schema)
    return schema


def answered_leaf(datatype: str) -> dict[str, Any]:
    dtype = DTYPES[datatype]
    if datatype in ("BOOL", "BYTES"):
        return leaf(datatype)
    return {"type": "number"} if dtype.kind == "f" else {"type": "integer"}


def encoded_image() -> dict[str, Any]:
    """An image as a file, by either of the forms that KServe's and TensorFlow Serving's callers use."""
    bare = open_object({"b64": BASE64})
    return any_of([bare, open_object({"image_bytes": bare})])


def pixel_shapes(preprocessing: ImagePreprocessing) -> list[tuple[int, ...]]:
    shape = preprocessing.shape
    return [shape, shape[:2]] if shape[2] == 1 else [shape]


def zeros(datatype: str, sizes: Sequence[int]) -> Any:
    """Lists in lists of this shape that hold nothing."""
    if sizes:
        return [zeros(datatype, sizes[1:]) for _ in range(sizes[0])]
    return {"BYTES": "", "BOOL": False}.get(datatype, 0)


def one_row(spec: TensorSpec) -> list[int]:
    """The shape with the least sizes that it allows."""
    return [size if size >= 0 else 1 for size in spec.shape]


def is_small(signature: Signature) -> bool:
    """Whether a row of the inputs is short enough to be shown."""
    return sum(math.prod(one_row(spec)) for spec in signature.inputs) <= EXAMPLE_VALUES
