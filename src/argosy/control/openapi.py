"""The OpenAPI description of the API, made of the same types that encode and decode it."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from argosy.api.serving import (
    AuditView,
    ChangeView,
    PromoteRequest,
    RollbackRequest,
    ScaleRequest,
    ServeProgress,
    ServeRequest,
    TokenCreated,
    TokenRequest,
    TokenView,
    TrafficRequest,
)
from argosy.api.views import (
    ErrorView,
    LogLine,
    RunRequest,
    RunSummary,
    RunView,
    ServiceView,
    ShutdownRequest,
    ShutdownView,
    StatusView,
)

_REQUESTS: dict[tuple[str, str], Any] = {
    ("post", "/v1/runs"): RunRequest,
    ("post", "/v1/services"): ServeRequest,
    ("post", "/v1/services/{service_name}/scale"): ScaleRequest,
    ("post", "/v1/services/{service_name}/traffic"): TrafficRequest,
    ("post", "/v1/services/{service_name}/promote"): PromoteRequest,
    ("post", "/v1/services/{service_name}/rollback"): RollbackRequest,
    ("post", "/v1/tokens"): TokenRequest,
    ("post", "/v1/shutdown"): ShutdownRequest,
}
_RESPONSES: dict[tuple[str, str], Any] = {
    ("post", "/v1/runs"): RunView,
    ("get", "/v1/runs"): list[RunSummary],
    ("get", "/v1/runs/{run}"): RunView,
    ("post", "/v1/runs/{run}/cancel"): RunView,
    ("get", "/v1/runs/{run}/watch"): RunView,
    ("get", "/v1/runs/{run}/logs"): LogLine,
    ("get", "/v1/services"): list[ServiceView],
    ("post", "/v1/services"): ServeProgress,
    ("get", "/v1/services/{service_name}"): ServiceView,
    ("delete", "/v1/services/{service_name}"): ServiceView,
    ("post", "/v1/services/{service_name}/scale"): ChangeView,
    ("post", "/v1/services/{service_name}/traffic"): ChangeView,
    ("post", "/v1/services/{service_name}/promote"): ChangeView,
    ("post", "/v1/services/{service_name}/rollback"): ChangeView,
    ("get", "/v1/tokens"): list[TokenView],
    ("post", "/v1/tokens"): TokenCreated,
    ("post", "/v1/tokens/{token}/revoke"): TokenView,
    ("get", "/v1/audit"): list[AuditView],
    ("get", "/v1/status"): StatusView,
    ("post", "/v1/shutdown"): ShutdownView,
}
_STREAMS = {
    ("get", "/v1/runs/{run}/watch"),
    ("get", "/v1/runs/{run}/logs"),
    ("post", "/v1/services"),
}
_ERRORS = {"4XX": "The request is at fault", "5XX": "The control plane can not answer"}


def describe(app: FastAPI) -> None:
    """Make ``app.openapi()`` complete: request bodies, responses and errors, with their schemas."""
    bare = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(bare())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    routes = list(_RESPONSES)
    types = [ErrorView, *_REQUESTS.values(), *_RESPONSES.values()]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    error, *rest = schemas
    requests = dict(zip(_REQUESTS, rest, strict=False))
    responses = dict(zip(routes, rest[len(_REQUESTS) :], strict=True))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            is_stream = (method, path) in _STREAMS
            _complete(operation, is_stream, requests.get((method, path)), responses[(method, path)], error)
    document["components"] = {"schemas": components}
    return document


def _complete(operation: dict[str, Any], is_stream: bool, request: Any, response: Any, error: Any) -> None:
    media_type = "application/x-ndjson" if is_stream else "application/json"
    success = next(code for code in operation["responses"] if code.startswith("2"))
    operation["responses"] = {
        success: {"description": "Done", "content": {media_type: {"schema": response}}},
        **{
            code: {"description": text, "content": {"application/json": {"schema": error}}}
            for code, text in _ERRORS.items()
        },
    }
    if request is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
