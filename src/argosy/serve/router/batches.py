"""Requests of tensors, split along the batch and put together again: pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from argosy.errors import InvalidInput
from argosy.serve.router.failures import PartFailed
from argosy.serve.router.parts import Part

_V2_EXAMPLE = 'send {"inputs": [{"name": ..., "shape": [n, ...], "datatype": "FP32", "data": [...]}]}'


def split_columns(document: Mapping[str, Any], rows: int) -> Iterator[Part]:
    """KServe V1 in columns: ``inputs`` is a list, or a list for each input. Raises InvalidInput."""
    inputs = document["inputs"]
    named = inputs if isinstance(inputs, dict) else {"inputs": inputs}
    for name, values in named.items():
        if not isinstance(values, list) or not values:
            raise InvalidInput(f"input {name!r} is no list with an entry for each instance")
    count = _common({name: len(values) for name, values in named.items()})
    for first in range(0, count, rows):
        piece: Any = {name: values[first : first + rows] for name, values in named.items()}
        if not isinstance(inputs, dict):
            piece = piece["inputs"]
        body = orjson.dumps({**document, "inputs": piece})
        yield Part(first, min(rows, count - first), body)


def join_columns(part: Part, document: Mapping[str, Any], onto: dict[str, list[Any]]) -> None:
    """Append a part's ``outputs`` (by name, or "" when it is one list). Raises PartFailed."""
    outputs = document.get("outputs")
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    for name, values in named.items():
        if not isinstance(values, list) or len(values) != part.count:
            raise PartFailed(part.what, f"the shard's output {name!r} has not one entry for each instance")
        onto.setdefault(name, []).extend(values)


def split_v2(document: Mapping[str, Any], rows: int) -> Iterator[Part]:
    """Open Inference V2 in JSON. Raises InvalidInput."""
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(one, dict) for one in inputs):
        raise InvalidInput("the request has no 'inputs', a list of tensors", hint=_V2_EXAMPLE)
    count = _common({str(one.get("name")): _batch(one) for one in inputs})
    for first in range(0, count, rows):
        size = min(rows, count - first)
        body = orjson.dumps({**document, "inputs": [_slice(one, first, size) for one in inputs]})
        yield Part(first, size, body)


def join_v2(part: Part, document: Mapping[str, Any], onto: dict[str, dict[str, Any]]) -> None:
    """Append a part's outputs, by name. Raises PartFailed."""
    for output in document.get("outputs") or ():
        shape, data = output.get("shape"), output.get("data")
        if not isinstance(data, list) or not shape or shape[0] != part.count:
            raise PartFailed(
                part.what, f"the shard's output {output.get('name')!r} is not one for each instance"
            )
        known = onto.setdefault(output["name"], {**output, "shape": [0, *shape[1:]], "data": []})
        known["shape"][0] += shape[0]
        known["data"].extend(data)


def _batch(tensor: Mapping[str, Any]) -> int:
    name, shape, data = tensor.get("name"), tensor.get("shape"), tensor.get("data")
    is_shape = isinstance(shape, list) and shape and all(type(one) is int and one > 0 for one in shape)
    if not is_shape or not isinstance(shape, list):
        raise InvalidInput(f"input {name!r} has the shape {shape!r}, expected sizes from 1", hint=_V2_EXAMPLE)
    if not isinstance(data, list):
        raise InvalidInput(f"input {name!r} has no 'data' in JSON", hint=_V2_EXAMPLE)
    if len(data) not in (math.prod(shape), shape[0]):
        raise InvalidInput(
            f"input {name!r} has {len(data)} values, but its shape {shape} needs {math.prod(shape)}",
            hint=_V2_EXAMPLE,
        )
    return int(shape[0])


def _slice(tensor: Mapping[str, Any], first: int, count: int) -> dict[str, Any]:
    shape: Sequence[int] = tensor["shape"]
    data = tensor["data"]
    # The values may be written flat or nested.
    step = 1 if len(data) == shape[0] else math.prod(shape[1:])
    return {**tensor, "shape": [count, *shape[1:]], "data": data[first * step : (first + count) * step]}


def _common(sizes: Mapping[str, int]) -> int:
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name!r} {size}" for name, size in sizes.items())
        raise InvalidInput(f"the inputs hold unequal numbers of instances: {told}")
    return next(iter(sizes.values()))
