"""Schemas of the Open Inference Protocol's requests for inference, and of their answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from argosy.serve.model_server.openapi_documents import (
    BOOLEAN,
    TEXT,
    any_of,
    array_of,
    object_of,
    open_object,
    or_null,
)
from argosy.serve.model_server.openapi_values import (
    BASE64,
    EXAMPLE_IMAGE,
    PIXEL,
    answered_leaf,
    is_small,
    leaf,
    one_row,
    pixel_shapes,
    zeros,
)
from argosy.serve.model_server.served import Served
from argosy.serve.model_server.tensors import DTYPES
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, TensorSpec

_Kind = tuple[str, tuple[int, ...], dict[str, Any]]

_ROWS = (1, 2)
_SIZE: dict[str, Any] = {"type": "integer", "minimum": 0}
_NUMBER_OF_BYTES = object_of({"binary_data_size": _SIZE})


def infer_request(served: Served) -> dict[str, Any]:
    return any_of([_request(served, name, one) for name, one in served.model.signatures.items()])


def infer_examples(served: Served) -> dict[str, Any]:
    """A request that is answered, by the name of its signature."""
    examples: dict[str, Any] = {}
    for name, signature in served.model.signatures.items():
        value: dict[str, Any] = {} if name == DEFAULT_SIGNATURE else {"parameters": {"signature_name": name}}
        if served.takes_images(name):
            image = {"shape": [1], "datatype": "BYTES", "data": [{"b64": EXAMPLE_IMAGE}]}
            value["inputs"] = [{"name": signature.inputs[0].name, **image}]
        elif is_small(signature):
            value["inputs"] = [_zero_tensor(spec) for spec in signature.inputs]
        else:
            continue
        examples[name] = {"value": value}
    return examples


def infer_response(served: Served) -> dict[str, Any]:
    specs = {spec for signature in served.model.signatures.values() for spec in signature.outputs}
    outputs = [_output(spec) for spec in sorted(specs, key=lambda spec: spec.name)]
    # Classes of any output are texts.
    outputs.append(_tensor_answer(sorted({spec.name for spec in specs}), "BYTES"))
    return object_of(
        {
            "model_name": {"type": "string", "enum": list(served.names)},
            "model_version": {"type": "string", "const": str(served.version)},
            "outputs": array_of(any_of(outputs)),
        },
        {"id": TEXT},
    )


def _zero_tensor(spec: TensorSpec) -> dict[str, Any]:
    sizes = one_row(spec)
    data = zeros(spec.datatype, [math.prod(sizes)])
    return {"name": spec.name, "shape": sizes, "datatype": spec.datatype, "data": data}


def _request(served: Served, name: str, signature: Signature) -> dict[str, Any]:
    signature_name = {"signature_name": {"const": name, "type": "string"}}
    binary = {"binary_data_output": BOOLEAN}
    required = {"inputs": any_of(_inputs(served, name, signature))}
    optional = {"id": TEXT, "outputs": _wanted(signature)}
    if name == DEFAULT_SIGNATURE:
        parameters = or_null(open_object({}, {**binary, **signature_name}))
        return open_object(required, {**optional, "parameters": parameters})
    return open_object({**required, "parameters": open_object(signature_name, binary)}, optional)


def _inputs(served: Served, name: str, signature: Signature) -> list[dict[str, Any]]:
    """Exact lists of tensors of few rows, and what can be said of all others: a schema does not know how many
    values belong to a shape."""
    specs = signature.inputs
    kinds = [(spec.datatype, spec.shape, leaf(spec.datatype)) for spec in specs]
    forms = [_exact(specs, kinds, rows) for rows in _ROWS]
    general = [_any_values(spec.name, [spec.datatype], [len(spec.shape)]) for spec in specs]
    if served.takes_images(name):
        images = _image_kinds(served)
        forms += [_exact(specs, [kind], rows) for kind in images for rows in _ROWS]
        datatypes = sorted({specs[0].datatype, *(datatype for datatype, _, _ in images)})
        ranks = sorted({len(specs[0].shape), *(len(shape) for _, shape, _ in images)})
        general = [_any_values(specs[0].name, datatypes, ranks)]
    return [*forms, array_of(any_of(general), len(specs), len(specs))]


def _image_kinds(served: Served) -> list[_Kind]:
    """Encoded images and raw pixels, which stand beside what the model itself takes."""
    assert served.model.preprocessing is not None
    shapes = pixel_shapes(served.model.preprocessing)
    return [("BYTES", (-1,), open_object({"b64": BASE64})), *(("UINT8", (-1, *one), PIXEL) for one in shapes)]


def _exact(specs: Sequence[TensorSpec], kinds: Sequence[_Kind], rows: int) -> dict[str, Any]:
    tensors = []
    for spec, (datatype, shape, value) in zip(specs, kinds, strict=True):
        sizes = [size if size >= 0 else rows if position == 0 else 1 for position, size in enumerate(shape)]
        count = math.prod(sizes)
        data = array_of(value, count, count)
        tensors.append(open_object({**_head(spec.name, [datatype]), "shape": {"const": sizes}, "data": data}))
    count = len(tensors)
    return {"type": "array", "prefixItems": tensors, "minItems": count, "maxItems": count}


def _any_values(name: str, datatypes: list[str], ranks: list[int]) -> dict[str, Any]:
    shape = any_of([array_of(_SIZE, rank, rank) for rank in ranks])
    data = {"type": "array"}
    return open_object(
        {**_head(name, datatypes), "shape": shape},
        {"data": data, "parameters": or_null(open_object({}, {"binary_data_size": _SIZE}))},
    )


def _head(name: str, datatypes: list[str]) -> dict[str, Any]:
    return {
        "name": {"type": "string", "const": name},
        "datatype": {"type": "string", "enum": datatypes},
    }


def _wanted(signature: Signature) -> dict[str, Any]:
    names = {"type": "string", "enum": [spec.name for spec in signature.outputs]}
    parameters = open_object({}, {"binary_data": BOOLEAN, "classification": _SIZE})
    return array_of(
        open_object({"name": names}, {"parameters": or_null(parameters)}), 0, len(signature.outputs)
    )


def _output(spec: TensorSpec) -> dict[str, Any]:
    return _tensor_answer([spec.name], spec.datatype)


def _tensor_answer(names: list[str], datatype: str) -> dict[str, Any]:
    assert datatype in DTYPES
    return object_of(
        {
            "name": {"type": "string", "enum": names},
            "datatype": {"type": "string", "const": datatype},
            "shape": array_of(_SIZE),
        },
        {"data": array_of(answered_leaf(datatype)), "parameters": _NUMBER_OF_BYTES},
    )
