"""The Open Inference Protocol over REST, with the extensions for binary tensors and classification."""

from __future__ import annotations

import reprlib
from typing import Any

import orjson

from argosy.errors import InvalidInput
from argosy.serve.http.messages import Answer, Headers
from argosy.serve.model_server import documents
from argosy.serve.model_server.infer_call import (
    GivenTensor,
    InferCall,
    InferRequest,
    InferResponse,
    WantedOutput,
)
from argosy.serve.model_server.predict import NotFinite, is_finite
from argosy.serve.model_server.served import Served
from argosy.serve.model_server.tensors import datatype_of, json_type, to_bytes, to_json
from argosy.serve.models.model import DEFAULT_SIGNATURE

_EXAMPLE = 'send {"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}'
HEADER_LENGTH = b"inference-header-content-length"
_BINARY: Headers = ((b"content-type", b"application/octet-stream"),)


def parse_infer(served: Served, model: str, body: bytes, header_length: bytes | None) -> InferCall:
    """``header_length`` is where the JSON ends and binary tensors begin. Raises InvalidInput or TooLarge."""
    end = _header_length(header_length, len(body))
    document = documents.parse(body[:end], _EXAMPLE)
    request = _request(model, document, body[end:])
    return InferCall(served, request, len(body), write_answer)


def write_answer(response: InferResponse) -> Answer:
    """JSON, followed by the raw bytes of what was asked for in binary."""
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, array, is_binary in response.outputs:
        output: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
        if is_binary:
            parts.append(to_bytes(array))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = to_json(array.ravel())
        outputs.append(output)
    document: dict[str, Any] = {"model_name": response.request.model, "model_version": str(response.version)}
    if response.request.id:
        document["id"] = response.request.id
    document["outputs"] = outputs
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" in head and not all(
        is_finite(array) for _, array, is_binary in response.outputs if not is_binary
    ):
        raise NotFinite()
    if not parts:
        return Answer(200, head)
    return Answer(200, b"".join((head, *parts)), (*_BINARY, (HEADER_LENGTH, b"%d" % len(head))))


def _header_length(value: bytes | None, size: int) -> int:
    if value is None:
        return size
    # Python refuses to read, and to write, numbers of thousands of digits.
    if not value.isdigit() or len(value) > 20 or int(value) > size:
        shown = reprlib.repr(value.decode("latin-1"))
        raise InvalidInput(f"Inference-Header-Content-Length is {shown}, expected a number up to {size}")
    return int(value)


def _request(model: str, document: dict[str, Any], binary: bytes) -> InferRequest:
    identifier = document.get("id", "")
    if not isinstance(identifier, str):
        raise InvalidInput(f"'id' is {json_type(identifier)}, expected text")
    parameters = documents.parameters(document)
    all_binary = documents.flag(parameters, "binary_data_output", "parameters")
    signature = parameters.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(signature, str):
        raise InvalidInput(f"parameters.signature_name is {json_type(signature)}, expected text")
    return InferRequest(
        model=model,
        id=identifier,
        inputs=_inputs(document, binary),
        outputs=tuple(_output(one, place, all_binary) for one, place in _objects(document, "outputs")),
        binary=all_binary,
        signature=signature,
    )


def _objects(document: dict[str, Any], key: str) -> list[tuple[dict[str, Any], str]]:
    values = document.get(key, [])
    if not isinstance(values, list):
        raise InvalidInput(f"{key!r} is {json_type(values)}, expected a list", hint=_EXAMPLE)
    for position, one in enumerate(values):
        if not isinstance(one, dict):
            raise InvalidInput(f"{key}[{position}] is {json_type(one)}, expected an object", hint=_EXAMPLE)
    return [(one, f"{key}[{position}]") for position, one in enumerate(values)]


def _inputs(document: dict[str, Any], binary: bytes) -> tuple[GivenTensor, ...]:
    if "inputs" not in document:
        raise InvalidInput(
            f"the request has no 'inputs' (it has {documents.keys_of(document)})", hint=_EXAMPLE
        )
    inputs: list[GivenTensor] = []
    at = 0
    for one, place in _objects(document, "inputs"):
        name, datatype, shape = _text(one, "name", place), _text(one, "datatype", place), _shape(one, place)
        size = documents.parameters(one, f"{place}.parameters").get("binary_data_size")
        if size is None:
            if "data" not in one:
                raise InvalidInput(f"{place} has no 'data'", hint=_EXAMPLE)
            inputs.append(GivenTensor(name, datatype, shape, _data(one["data"], place)))
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary) - at:
            shown = reprlib.repr(size)
            raise InvalidInput(
                f"{place}.parameters.binary_data_size is {shown}, {len(binary) - at} bytes are left",
                hint="Inference-Header-Content-Length says where the JSON ends",
            )
        inputs.append(GivenTensor(name, datatype, shape, binary[at : at + size]))
        at += size
    if at != len(binary):
        raise InvalidInput(f"{len(binary) - at} bytes behind the JSON belong to no input", hint=_EXAMPLE)
    return tuple(inputs)


def _data(data: Any, place: str) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidInput(f"{place}.data is {json_type(data)}, expected a list", hint=_EXAMPLE)
    return data


def _text(one: dict[str, Any], key: str, place: str) -> str:
    value = one.get(key)
    if not isinstance(value, str) or not value:
        what = f"has no {key!r}" if value is None else f"has a {key!r} that is {json_type(value)}"
        raise InvalidInput(f"{place} {what}, expected text", hint=_EXAMPLE)
    return value


def _shape(one: dict[str, Any], place: str) -> tuple[int, ...]:
    shape = one.get("shape")
    good = isinstance(shape, list) and all(
        isinstance(size, int) and not isinstance(size, bool) for size in shape
    )
    if not isinstance(shape, list) or not good:
        raise InvalidInput(
            f"{place}.shape is {reprlib.repr(shape)}, expected a list of whole numbers", hint=_EXAMPLE
        )
    return tuple(shape)


def _output(one: dict[str, Any], place: str, all_binary: bool) -> WantedOutput:
    parameters = documents.parameters(one, f"{place}.parameters")
    where = f"{place}.parameters"
    binary = documents.flag(parameters, "binary_data", where) if "binary_data" in parameters else all_binary
    classes = parameters.get("classification", 0)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
        raise InvalidInput(f"{where}.classification is {reprlib.repr(classes)}, expected a number of classes")
    return WantedOutput(_text(one, "name", place), binary, classes)
