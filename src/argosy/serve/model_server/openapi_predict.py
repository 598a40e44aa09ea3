"""Schemas of KServe V1's and TensorFlow Serving's requests for prediction, and of their answers."""

from __future__ import annotations

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
    EXAMPLE_IMAGE,
    PIXEL,
    answered,
    encoded_image,
    is_small,
    leaf,
    nested,
    one_row,
    pixel_shapes,
    zeros,
)
from argosy.serve.model_server.served import Served
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, TensorSpec


def predict_request(served: Served) -> dict[str, Any]:
    forms = []
    for name, signature in served.model.signatures.items():
        if served.takes_images(name):
            rows = columns = _images(served, signature.inputs[0].name)
        else:
            most = served.most_rows(name)
            rows, columns = _rows(signature, most), _columns(signature, most)
        forms += [_form(name, "instances", one) for one in rows]
        forms += [_form(name, "inputs", one) for one in columns]
    return any_of(forms)


def predict_examples(served: Served) -> dict[str, Any]:
    """A request that is answered, by the name of its signature."""
    examples: dict[str, Any] = {}
    for name, signature in served.model.signatures.items():
        value: dict[str, Any] = {} if name == DEFAULT_SIGNATURE else {"signature_name": name}
        if served.takes_images(name):
            value["instances"] = [{"b64": EXAMPLE_IMAGE}]
        elif is_small(signature):
            value["inputs"] = {spec.name: zeros(spec.datatype, one_row(spec)) for spec in signature.inputs}
        else:
            continue
        examples[name] = {"value": value}
    return examples


def predict_response(served: Served) -> dict[str, Any]:
    labels = {"labels": array_of(TEXT)}
    forms = []
    for signature in served.model.signatures.values():
        outputs = signature.outputs
        if len(outputs) == 1:
            rows = columns = answered(outputs[0].datatype, outputs[0].shape)
        else:
            columns = object_of({spec.name: answered(spec.datatype, spec.shape) for spec in outputs})
            rows = array_of(
                object_of({spec.name: answered(spec.datatype, spec.shape[1:]) for spec in outputs})
            )
        forms += [object_of({"predictions": rows}, labels), object_of({"outputs": columns}, labels)]
    return any_of(forms)


def _form(signature: str, place: str, values: dict[str, Any]) -> dict[str, Any]:
    # Nothing stands for the default, as TensorFlow Serving's clients send it.
    names = [signature, ""] if signature == DEFAULT_SIGNATURE else [signature]
    name = {"signature_name": {"type": "string", "enum": names}}
    optional = {"parameters": or_null(open_object({}, {"labels": BOOLEAN}))}
    other = "inputs" if place == "instances" else "instances"
    if signature == DEFAULT_SIGNATURE:
        schema = open_object({place: values}, {**optional, **name})
    else:
        schema = open_object({place: values, **name}, optional)
    schema["properties"][other] = False
    return schema


def _images(served: Served, name: str) -> list[dict[str, Any]]:
    """All of one kind in a request; each may stand under the name of the input."""
    assert served.model.preprocessing is not None
    most = served.most_rows(DEFAULT_SIGNATURE)
    kinds = [encoded_image()]
    kinds += [
        nested({**PIXEL, "type": "number"}, shape) for shape in pixel_shapes(served.model.preprocessing)
    ]
    plain = [array_of(kind, 1, most) for kind in kinds]
    return [*plain, *(array_of(object_of({name: kind}), 1, most) for kind in kinds)]


def _rows(signature: Signature, most: int) -> list[dict[str, Any]]:
    specs = signature.inputs
    if any(not spec.shape for spec in specs):
        return []
    count = next((spec.shape[0] for spec in specs if spec.shape[0] >= 0), -1)
    named = object_of({spec.name: nested(leaf(spec.datatype), spec.shape[1:]) for spec in specs})
    forms = [named]
    if len(specs) == 1:
        forms.insert(0, nested(leaf(specs[0].datatype), specs[0].shape[1:]))
    return [array_of(form, max(1, count), count if count >= 0 else most) for form in forms]


def _columns(signature: Signature, most: int) -> list[dict[str, Any]]:
    def column(spec: TensorSpec) -> dict[str, Any]:
        return nested(leaf(spec.datatype), spec.shape, most)

    named = object_of({spec.name: column(spec) for spec in signature.inputs})
    return [column(signature.inputs[0]), named] if len(signature.inputs) == 1 else [named]
