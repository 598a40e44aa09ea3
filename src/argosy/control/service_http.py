"""The routes of the control plane's API that concern services."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from argosy.api.codec import encode
from argosy.api.serving import (
    PromoteRequest,
    RollbackRequest,
    ScaleRequest,
    ServeProgress,
    ServeRequest,
    TokenRequest,
    TrafficRequest,
)
from argosy.control.answers import answer, body_of, refuse_other_version
from argosy.control.service import ControlService
from argosy.control.streams import Streams


def add_service_routes(app: FastAPI, service: ControlService) -> None:
    _add_life(app, service)
    _add_changes(app, service)
    _add_access(app, service)


def _add_life(app: FastAPI, service: ControlService) -> None:
    streams: Streams = app.state.streams

    @app.get("/v1/services")
    async def services() -> Response:
        return answer(await service.serving.services())

    @app.post("/v1/services")
    async def serve(request: Request) -> Response:
        refuse_other_version(request)
        asked = await body_of(request, ServeRequest)
        return streams.response(await service.serving.serve(asked), _progress_line)

    @app.get("/v1/services/{service_name}")
    async def one_service(service_name: str) -> Response:
        return answer(await service.serving.service(service_name))

    @app.delete("/v1/services/{service_name}")
    async def delete_service(service_name: str) -> Response:
        return answer(await service.serving.delete(service_name))


def _add_changes(app: FastAPI, service: ControlService) -> None:
    @app.post("/v1/services/{service_name}/scale")
    async def scale(service_name: str, request: Request) -> Response:
        asked = await body_of(request, ScaleRequest)
        return answer(await service.serving.scale(service_name, asked))

    @app.post("/v1/services/{service_name}/traffic")
    async def set_traffic(service_name: str, request: Request) -> Response:
        asked = await body_of(request, TrafficRequest)
        return answer(await service.serving.set_traffic(service_name, asked))

    @app.post("/v1/services/{service_name}/promote")
    async def promote(service_name: str, request: Request) -> Response:
        asked = await body_of(request, PromoteRequest)
        return answer(await service.serving.promote(service_name, asked))

    @app.post("/v1/services/{service_name}/rollback")
    async def roll_back(service_name: str, request: Request) -> Response:
        asked = await body_of(request, RollbackRequest)
        return answer(await service.serving.roll_back(service_name, asked))


def _add_access(app: FastAPI, service: ControlService) -> None:
    @app.get("/v1/tokens")
    async def tokens() -> Response:
        return answer(await service.serving.tokens())

    @app.post("/v1/tokens", status_code=201)
    async def create_token(request: Request) -> Response:
        asked = await body_of(request, TokenRequest)
        return answer(await service.serving.create_token(asked), 201)

    @app.post("/v1/tokens/{token}/revoke")
    async def revoke_token(token: str) -> Response:
        return answer(await service.serving.revoke_token(token))

    @app.get("/v1/audit")
    async def audit(
        since: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0,
        user: str | None = None,
        service_name: Annotated[str | None, Query(alias="service")] = None,
    ) -> Response:
        return answer(await service.serving.audit(since, user, service_name))


def _progress_line(progress: ServeProgress) -> bytes:
    return encode(progress) + b"\n"
