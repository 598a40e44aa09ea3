"""What a model server says of itself and its model, in the words of each protocol."""

from __future__ import annotations

from typing import Any

import orjson

from argosy.errors import NotFound
from argosy.serve.about import server_metadata
from argosy.serve.http.messages import Answer, method_not_allowed, not_found
from argosy.serve.http.request import Request
from argosy.serve.model_server.served import Served
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, TensorSpec

_TENSORFLOW = {
    "BOOL": "DT_BOOL",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
    **{f"INT{bits}": f"DT_INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"DT_UINT{bits}" for bits in (8, 16, 32, 64)},
}


def describe(served: Served, request: Request) -> Answer:
    """Whatever is asked by GET. Raises NotFound that says what there is."""
    parts = request.path.strip("/").split("/")
    if parts == ["v2"]:
        return _get(request, server_metadata())
    if parts == ["v1", "models"]:
        return _get(request, {"models": list(served.names)})
    if len(parts) < 3 or parts[1] != "models" or parts[0] not in ("v1", "v2"):
        raise not_found(request)
    name, colon, verb = parts[2].partition(":")
    if name not in served.names:
        raise NotFound(f"model {name!r} does not exist", hint=f"models here: {', '.join(served.names)}")
    if colon and parts[3:]:
        raise not_found(request)
    rest = parts[3:]
    if rest[:1] == ["versions"] and len(rest) > 1:
        number, colon, verb = rest[1].partition(":")
        check_version(served, name, number)
        rest = rest[2:]
    action = f":{verb}" if colon else "/".join(rest)
    return (_describe_v1 if parts[0] == "v1" else _describe_v2)(served, request, name, action)


def check_version(served: Served, name: str, number: str) -> None:
    """Raises NotFound unless it is the version that is served here."""
    if number != str(served.version):
        raise NotFound(f"model {name!r} has no version {number!r}", hint=f"versions here: {served.version}")


def _describe_v1(served: Served, request: Request, name: str, action: str) -> Answer:
    if action == "":
        return _get(request, status(served, name))
    if action == "metadata":
        return _get(request, metadata_v1(served, name))
    if action == ":predict":
        return method_not_allowed(request, "POST")
    raise NotFound(f"model {name!r} has no {_action(action)!r}", hint="use :predict, /metadata or nothing")


def _describe_v2(served: Served, request: Request, name: str, action: str) -> Answer:
    if action == "":
        return _get(request, metadata_v2(served, name))
    if action == "ready":
        return _get(request, {"name": name, "ready": True})
    if action == "infer":
        return method_not_allowed(request, "POST")
    raise NotFound(f"model {name!r} has no {_action(action)!r}", hint="use /infer, /ready or nothing")


def _action(action: str) -> str:
    return action if action.startswith(":") else f"/{action}"


def _get(request: Request, document: dict[str, Any]) -> Answer:
    if request.method != "GET":
        return method_not_allowed(request, "GET")
    return Answer(200, orjson.dumps(document))


def status(served: Served, name: str) -> dict[str, Any]:
    ok = {"error_code": "OK", "error_message": ""}
    one = {"version": str(served.version), "state": "AVAILABLE", "status": ok}
    return {"name": name, "ready": True, "model_version_status": [one]}


def metadata_v1(served: Served, name: str) -> dict[str, Any]:
    """TensorFlow Serving's document, and what the Open Inference Protocol says of the same model."""
    number = str(served.version)
    definitions = {one: _definition(signature) for one, signature in served.model.signatures.items()}
    return {
        **metadata_v2(served, name),
        "model_spec": {"name": name, "signature_name": "", "version": number},
        "metadata": {"signature_def": {"signature_def": definitions}},
        "labels": list(served.model.labels),
    }


def metadata_v2(served: Served, name: str) -> dict[str, Any]:
    model = served.model
    signature = model.signatures.get(DEFAULT_SIGNATURE) or next(iter(model.signatures.values()))
    properties = {}
    if model.preprocessing is not None:
        height, width, channels = model.preprocessing.shape
        properties["images"] = (
            f"BYTES [-1] holds encoded images, UINT8 [-1, {height}, {width}, {channels}] raw pixels; both "
            "are preprocessed here. FP32 is given to the model as it is."
        )
    if model.labels:
        properties["labels"] = orjson.dumps(model.labels).decode()
    return {
        "name": name,
        "versions": [str(served.version)],
        "platform": model.platform,
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
        "properties": properties,
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _definition(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": {spec.name: _tensor_info(spec) for spec in signature.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in spec.shape]
    return {
        "dtype": _TENSORFLOW[spec.datatype],
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
        "name": spec.name,
    }
