"""The OpenAPI document of a model server, with the names it answers to: GET /openapi.json."""

from __future__ import annotations

from typing import Any

from argosy.serve.model_server.describing import server_metadata
from argosy.serve.model_server.served import Served

_TEXT = {"type": "string"}
_VALUES: dict[str, Any] = {"type": "array", "minItems": 1, "items": {}}
_PARAMETERS = {"type": "object"}


def document(served: Served) -> dict[str, Any]:
    """Inference in both protocols, health, and what the server says of itself."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Argosy model server", "version": str(server_metadata()["version"])},
        "paths": {**_server_paths(), **_model_paths(served)},
        "components": {"schemas": _schemas(served)},
    }


def _server_paths() -> dict[str, Any]:
    paths = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2", "/v1/models")
    return {path: {"get": _operation({})} for path in paths} | {
        "/metrics": {
            "get": {"responses": {"200": {"description": "counters", "content": {"text/plain": {}}}}}
        }
    }


def _model_paths(served: Served) -> dict[str, Any]:
    model: dict[str, Any] = {"name": "model", "in": "path", "required": True}
    model["schema"] = {"enum": list(served.names)}
    version: dict[str, Any] = {"name": "version", "in": "path", "required": True}
    version["schema"] = {"enum": [str(served.version)]}
    labels = {"name": "labels", "in": "query", "schema": {"type": "boolean"}}
    paths: dict[str, Any] = {}
    for suffix, parameters in (("", [model]), ("/versions/{version}", [model, version])):
        first, second = f"/v1/models/{{model}}{suffix}", f"/v2/models/{{model}}{suffix}"
        for path in (first, f"{first}/metadata", second, f"{second}/ready"):
            paths[path] = {"get": _operation({}), "parameters": parameters}
        paths[f"{first}:predict"] = {
            "post": _operation(_body("PredictRequest"), "PredictResponse"),
            "parameters": [*parameters, labels],
        }
        paths[f"{second}/infer"] = {
            "post": _operation(_body("InferRequest"), "InferResponse"),
            "parameters": parameters,
        }
    return paths


def _operation(more: dict[str, Any], answer: str = "") -> dict[str, Any]:
    schema = _reference(answer) if answer else {"type": "object"}
    error = {"content": {"application/json": {"schema": _reference("Error")}}}
    return {
        **more,
        "responses": {
            "200": {"description": "answered", "content": {"application/json": {"schema": schema}}},
            "4XX": {"description": "the request is wrong, or one too many", **error},
            "5XX": {"description": "the model or the server failed", **error},
        },
    }


def _body(name: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(name)}}
    return {"requestBody": {"required": True, "content": content}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas(served: Served) -> dict[str, Any]:
    signatures = {"enum": sorted(served.model.signatures)}
    common = {"signature_name": signatures, "parameters": _PARAMETERS}
    tensor = {"name": _TEXT, "datatype": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}}}
    inputs = {**tensor, "data": _VALUES, "parameters": _PARAMETERS}
    outputs = {"type": "array", "items": _object({"name": _TEXT, "parameters": _PARAMETERS}, "name")}
    return {
        "PredictRequest": {
            "oneOf": [
                _object({"instances": _VALUES, **common}, "instances"),
                _object({"inputs": {"type": ["array", "object"]}, **common}, "inputs"),
            ]
        },
        "PredictResponse": {"type": "object"},
        "InferRequest": _object(
            {
                "id": _TEXT,
                "parameters": _PARAMETERS,
                "inputs": {"type": "array", "items": _object(inputs, "name", "datatype", "shape", "data")},
                "outputs": outputs,
            },
            "inputs",
        ),
        "InferResponse": _object(
            {"model_name": _TEXT, "outputs": {"type": "array"}}, "model_name", "outputs"
        ),
        "Error": _object({"error": _TEXT, "code": _TEXT, "hint": _TEXT}, "error", "code"),
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}
