"""The HTTP interface of a model server as an OpenAPI 3.1 document, made of what its model takes and gives."""

from __future__ import annotations

from typing import Any

from argosy.serve.about import server_metadata
from argosy.serve.model_server.openapi_documents import document_schemas
from argosy.serve.model_server.openapi_infer import infer_examples, infer_request, infer_response
from argosy.serve.model_server.openapi_predict import predict_examples, predict_request, predict_response
from argosy.serve.model_server.served import Served

JSON = "application/json"
BINARY = "application/octet-stream"
_ERRORS = {
    400: ("BadRequest", "The request is at fault; the error names the place"),
    404: ("NotFound", "There is no such model, version or path; the hint says what there is"),
    408: ("TooSlow", "The request did not arrive in time"),
    413: ("TooLarge", "The request is over a limit"),
    415: ("UnsupportedEncoding", "The body is compressed in a way that is not read"),
    429: ("Overloaded", "The queue is full"),
    431: ("HeadTooLarge", "The head of the request is over a limit"),
    500: ("Failed", "The model failed, or answered NaN or infinity, which JSON can not say"),
    503: ("Unavailable", "Not now: send the request again"),
    504: ("Overdue", "The model did not answer in time; its process is being replaced"),
}
_EVERYWHERE = (400, 404, 408, 413, 431, 500, 503)
_INFERENCE = tuple(_ERRORS)


def document(served: Served) -> dict[str, Any]:
    """Every path of a replica of this model, for each of its names and its version."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Argosy model server: {served.names[0]}",
            "version": server_metadata()["version"],
            "description": "KServe V1, TensorFlow Serving's REST forms and the Open Inference Protocol V2.",
        },
        "paths": {**_server_paths(), **_v1_paths(served), **_v2_paths(served)},
        "components": {
            "parameters": _parameters(served),
            "responses": {name: _error(status, text) for status, (name, text) in _ERRORS.items()},
            "schemas": {
                **document_schemas(),
                "PredictRequest": predict_request(served),
                "PredictResponse": predict_response(served),
                "InferRequest": infer_request(served),
                "InferResponse": infer_response(served),
            },
        },
    }


def _server_paths() -> dict[str, Any]:
    live = _get("Whether the process lives", "live", "Live")
    ready = _get("Whether requests are welcome", "ready", "Ready")
    ready["responses"]["503"] = _said("The process is stopping", "NotReady")
    metrics = _get("Metrics in Prometheus' text format", "metrics", "")
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/healthz": {"get": live},
        "/readyz": {"get": ready},
        "/v2/health/live": {"get": {**live, "operationId": "live_v2"}},
        "/v2/health/ready": {"get": {**ready, "operationId": "ready_v2"}},
        "/metrics": {"get": metrics},
        "/openapi.json": {"get": _get("This document", "openapi", "")},
    }


def _v1_paths(served: Served) -> dict[str, Any]:
    model, version = "/v1/models/{model}", "/v1/models/{model}/versions/{version}"
    paths: dict[str, Any] = {"/v1/models": {"get": _get("The names of the models", "models", "Models")}}
    for path, suffix in ((model, ""), (version, "_of_version")):
        paths[path] = _at(path, "get", _get("The state of a model", f"status{suffix}", "Status"))
        paths[f"{path}/metadata"] = _at(
            path, "get", _get("Inputs, outputs and labels", f"metadata{suffix}", "MetadataV1")
        )
        paths[f"{path}:predict"] = _at(path, "post", _predict(f"predict{suffix}", predict_examples(served)))
    return paths


def _v2_paths(served: Served) -> dict[str, Any]:
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    paths: dict[str, Any] = {"/v2": {"get": _get("The server", "server", "Server")}}
    for path, suffix in ((model, ""), (version, "_of_version")):
        paths[path] = _at(path, "get", _get("Inputs and outputs", f"metadata_v2{suffix}", "MetadataV2"))
        paths[f"{path}/ready"] = _at(
            path, "get", _get("Whether the model answers", f"model_ready{suffix}", "ModelReady")
        )
        paths[f"{path}/infer"] = _at(path, "post", _infer(f"infer{suffix}", infer_examples(served)))
    return paths


def _at(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    names = ["Model", "Version"] if "{version}" in path else ["Model"]
    references = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    return {"parameters": references, method: operation}


def _get(summary: str, identifier: str, schema: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": identifier,
        "responses": {"200": _said(summary, schema), **_error_responses(_EVERYWHERE)},
    }


def _predict(identifier: str, examples: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": "Predictions for rows ('instances') or columns ('inputs')",
        "operationId": identifier,
        "parameters": [{"$ref": "#/components/parameters/Labels"}],
        "requestBody": _body("PredictRequest", examples),
        "responses": {"200": _said("Predictions", "PredictResponse"), **_error_responses(_INFERENCE)},
    }


def _infer(identifier: str, examples: dict[str, Any]) -> dict[str, Any]:
    answer = _said("The outputs asked for", "InferResponse")
    answer["content"][BINARY] = {"schema": {"type": "string", "format": "binary"}}
    answer["headers"] = {
        "Inference-Header-Content-Length": {
            "description": "Where the JSON ends and binary tensors begin",
            "schema": {"type": "integer", "minimum": 2},
        }
    }
    body = _body("InferRequest", examples)
    body["content"][BINARY] = {"schema": {"type": "string", "format": "binary"}}
    return {
        "summary": "Inference on named tensors, in JSON or binary",
        "operationId": identifier,
        "parameters": [{"$ref": "#/components/parameters/HeaderLength"}],
        "requestBody": body,
        "responses": {"200": answer, **_error_responses(_INFERENCE)},
    }


def _body(schema: str, examples: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": _schema(schema), "examples": examples} if examples else {"schema": _schema(schema)}
    return {"required": True, "content": {JSON: content}}


def _said(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": _schema(schema)}}}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}


def _error_responses(statuses: tuple[int, ...]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{_ERRORS[status][0]}"} for status in statuses}


def _error(status: int, description: str) -> dict[str, Any]:
    answer = _said(description, "Error")
    if status in (429, 503):
        seconds = {"description": "Seconds", "schema": {"type": "integer"}}
        answer["headers"] = {"Retry-After": seconds}
    return answer


def _parameters(served: Served) -> dict[str, Any]:
    def parameter(name: str, place: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
        required = place == "path"
        return {"name": name, "in": place, "required": required, "description": text, "schema": schema}

    names = {"type": "string", "enum": list(served.names)}
    versions = {"type": "string", "enum": [str(served.version)]}
    return {
        "Model": parameter("model", "path", "What the model is called", names),
        "Version": parameter("version", "path", "The version that is served", versions),
        "Labels": parameter(
            "labels", "query", "Whether to name the best class of each row", {"type": "boolean"}
        ),
        "HeaderLength": parameter(
            "Inference-Header-Content-Length",
            "header",
            "Where the JSON ends and binary tensors begin; the whole body is JSON without it",
            {"type": "integer", "minimum": 0},
        ),
    }
