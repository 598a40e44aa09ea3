"""The HTTP API of the control plane, as a FastAPI application over a ControlService."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from argosy import __version__
from argosy.api.codec import encode, error_view
from argosy.api.limits import HEARTBEAT_SECONDS
from argosy.api.views import LogLine, RunRequest, RunView, ShutdownRequest
from argosy.control.answers import answer, body_of, refuse_other_version
from argosy.control.openapi import describe
from argosy.control.service import ControlService
from argosy.control.service_http import add_service_routes
from argosy.control.streams import Streams
from argosy.errors import ArgosyError, InvalidRequest, NotFound

_LOG = logging.getLogger(__name__)


def create_app(service: ControlService, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> FastAPI:
    """The application. ``app.state.streams.stop()`` ends every open stream, as a requested shutdown does."""
    app = FastAPI(title="Argosy control plane", version=__version__, docs_url=None, redoc_url=None)
    app.state.streams = Streams(heartbeat_seconds)
    _add_run_routes(app, service)
    add_service_routes(app, service)
    _add_plane_routes(app, service)
    _add_error_handlers(app)
    describe(app)
    return app


def _add_run_routes(app: FastAPI, service: ControlService) -> None:
    streams: Streams = app.state.streams

    @app.post("/v1/runs", status_code=201)
    async def submit(request: Request) -> Response:
        refuse_other_version(request)
        return answer(await service.submit(await body_of(request, RunRequest)), 201)

    @app.get("/v1/runs")
    async def runs(limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> Response:
        return answer(await service.runs(limit))

    @app.get("/v1/runs/{run}")
    async def run(run: str) -> Response:
        return answer(await service.run(run))

    @app.post("/v1/runs/{run}/cancel")
    async def cancel(run: str) -> Response:
        return answer(await service.cancel(run))

    @app.get("/v1/runs/{run}/watch")
    async def watch(run: str) -> Response:
        return streams.response(await service.watch(run), _run_line)

    @app.get("/v1/runs/{run}/logs")
    async def logs(run: str, node: str | None = None, follow: bool = False) -> Response:
        return streams.response(await service.logs(run, node, follow), _log_lines)


def _add_plane_routes(app: FastAPI, service: ControlService) -> None:
    @app.get("/v1/status")
    async def status() -> Response:
        return answer(await service.status())

    @app.post("/v1/shutdown")
    async def shut_down(request: Request) -> Response:
        ended = await service.shut_down(await body_of(request, ShutdownRequest))
        app.state.streams.stop()
        return answer(ended)


def _run_line(view: RunView) -> bytes:
    return encode(view) + b"\n"


def _log_lines(lines: Sequence[LogLine]) -> bytes:
    return b"".join(encode(line) + b"\n" for line in lines)


def _add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ArgosyError, _on_argosy_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_fault)


async def _on_argosy_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ArgosyError)
    if error.http_status >= 500:
        _LOG.error("%s %s: %s", request.method, request.url.path, error)
    return answer(error_view(error), error.http_status)


def _allowed(request: Request) -> str:
    """The methods of all routes of this path: the framework names those of the first."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
    invalid = InvalidRequest(f"{request.url.path}: {faults}", hint="/openapi.json describes every request")
    return answer(error_view(invalid), invalid.http_status)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        error.headers = {"allow": _allowed(request)}
    if error.status_code == 404:
        missing = NotFound(f"there is no {request.url.path} here", hint="/openapi.json lists every path")
        view = error_view(missing)
    else:
        view = error_view(InvalidRequest(f"{request.method} {request.url.path}: {error.detail}"))
    told = answer(view, error.status_code)
    told.headers.update(error.headers or {})
    return told


async def _on_fault(request: Request, error: Exception) -> Response:
    # The server logs the traceback: this handler only keeps it from the caller.
    fault = ArgosyError(
        f"the control plane failed at {request.method} {request.url.path}: {type(error).__name__}",
        hint="its log, logs/control.log in the home, holds the traceback",
    )
    return answer(error_view(fault), 500)
