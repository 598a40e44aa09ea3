"""Members' answers as arrays, and one answer of arrays: KServe V1 rows and columns, Open Inference V2."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from argosy.errors import InvalidInput
from argosy.serve.http.client import Response
from argosy.serve.http.failures import MemberFailed
from argosy.serve.router.aggregate import Floats, Values

NUMBERS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
UNNAMED = ""


class Form(enum.Enum):
    """How an answer is written."""

    ROWS = "predictions"
    COLUMNS = "outputs"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Tensors:
    """``values`` by name of output; the only one of an answer that names none is :data:`UNNAMED`."""

    form: Form
    values: Mapping[str, Values]


def read_v1(member: str, body: bytes) -> Tensors:
    """A member's ``predictions`` or ``outputs``. Raises MemberFailed."""
    document = _document(member, body)
    form = next((one for one in (Form.ROWS, Form.COLUMNS) if one.value in document), None)
    if form is None:
        raise MemberFailed(member, "its answer holds no predictions and no outputs")
    try:
        return Tensors(form, _named(document[form.value], form))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise MemberFailed(member, f"its answer holds no {form.value} of numbers ({error!r})") from None


def read_v2(member: str, response: Response) -> Tensors:
    """A member's tensors, in JSON or behind it. Raises MemberFailed; InvalidInput for what can not
    be merged."""
    length = response.headers.get(b"inference-header-content-length")
    head = len(response.body) if length is None else int(length)
    document = _document(member, response.body[:head])
    values: dict[str, Values] = {}
    try:
        for output in document["outputs"]:
            name, datatype = output["name"], output["datatype"]
            if datatype not in NUMBERS:
                raise InvalidInput(
                    f"output {name!r} is {datatype}, and only floating point can be merged",
                    hint="name the outputs of floating point in 'outputs', and ask for no classification",
                )
            size = output.get("parameters", {}).get("binary_data_size")
            if size is None:
                data = np.asarray(output["data"], np.float64)
            else:
                data = np.frombuffer(response.body[head : head + size], NUMBERS[datatype])
                head += size
            values[name] = np.asarray(data, np.float64).reshape(output["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MemberFailed(member, f"its answer is no inference response ({error!r})") from None
    return Tensors(Form.V2, values)


def alike(answers: Mapping[str, Tensors]) -> None:
    """Raises MemberFailed for the first member whose outputs are not those of the one before it."""
    (first, expected), *others = answers.items()
    for member, tensors in others:
        if tensors.values.keys() != expected.values.keys():
            named = f"{sorted(tensors.values)} where member {first!r} answered {sorted(expected.values)}"
            raise MemberFailed(member, f"it answered the outputs {named}")
        for name, array in tensors.values.items():
            shape = list(expected.values[name].shape)
            if list(array.shape) != shape:
                reason = f"it answered shape {list(array.shape)} where member {first!r} answered {shape}"
                raise MemberFailed(member, reason)


def write_v1(form: Form, values: Mapping[str, Floats], labels: Sequence[Any] | None = None) -> bytes:
    """One answer in the form the members used."""
    content: Any = values[UNNAMED] if list(values) == [UNNAMED] else dict(values)
    if form is Form.ROWS and isinstance(content, dict):
        names = list(content)
        content = [dict(zip(names, row, strict=True)) for row in zip(*content.values(), strict=True)]
    document = {form.value: content}
    if labels is not None:
        document["labels"] = list(labels)
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def write_v2(values: Mapping[str, Floats], model: str, version: str, identity: str | None) -> bytes:
    outputs = [
        {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel()}
        for name, array in values.items()
    ]
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if identity is not None:
        document["id"] = identity
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _document(member: str, body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise MemberFailed(member, f"its answer holds no predictions ({error!r})") from None
    if not isinstance(document, dict):
        raise MemberFailed(member, "its answer holds no predictions: it is no object")
    return document


def _named(content: Any, form: Form) -> dict[str, Values]:
    if form is Form.ROWS and isinstance(content, list) and content and isinstance(content[0], dict):
        names = content[0].keys()
        content = {name: [row[name] for row in content] for name in names}
    if not isinstance(content, dict):
        content = {UNNAMED: content}
    return {name: _array(value) for name, value in content.items()}


def _array(value: Any) -> Values:
    array: Values = np.asarray(value, np.float64)
    if not array.ndim:
        raise ValueError(f"{value!r} is no list")
    return array
