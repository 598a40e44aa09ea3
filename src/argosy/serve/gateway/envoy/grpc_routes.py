"""The gRPC side of the public port: routes by the model that a request names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.serve.gateway.envoy.actions import BODY_LIMIT, lead_route
from argosy.serve.gateway.envoy.guards import admitted, guarded, has_admission
from argosy.serve.gateway.envoy.json_types import Json, config, direct, header, header_present
from argosy.serve.gateway.envoy.leads import INFER, METADATA, READY, Lead, Living, leads
from argosy.serve.gateway.envoy.names import (
    GRPC_SERVICE,
    MODEL_FILTER,
    MODEL_HEADER,
    MODEL_VERSION_HEADER,
    WHOLE_FILTER,
)

MODEL_SCRIPT = "model"

_NOT_FOUND = "5"
_UNIMPLEMENTED = "12"
_UNAVAILABLE = "14"


def grpc_routes(services: Sequence[Living]) -> Iterator[Json]:
    """Requests whose model is known by a header, then those whose message must be looked into first."""
    found = [(one, lead) for one in services for lead in leads(one, grpc=True)]
    speaking = []
    for one, lead in found:
        if lead.speaks_grpc(one.clusters):
            speaking.append(lead)
            if has_admission(one.service.access):
                yield from admitted(lead)
            yield from guarded(lead, one.service.access)
        else:
            yield from _mute(lead)
    yield from _server(speaking)
    for path in (INFER, READY, METADATA):
        yield _looked_into(path)
        yield _unknown_model(path, sorted(one.service.name for one in services))
    yield direct(
        {"prefix": GRPC_SERVICE},
        404,
        headers=(header("grpc-status", _UNIMPLEMENTED),),
        error="the gateway knows no method %PATH(NQ)%",
        code="not_found",
        hint="it knows those of the Open Inference Protocol",
    )


def _mute(lead: Lead) -> Iterator[Json]:
    for match in lead.matches:
        yield direct(
            match,
            404,
            headers=(header("grpc-status", _UNIMPLEMENTED),),
            error=f"service {lead.service!r} does not speak gRPC",
            code="not_found",
            hint=f"ask it over HTTP: POST /v2/models/{lead.model}/infer",
        )


def _server(found: Sequence[Lead]) -> Iterator[Json]:
    """What is asked of the server and not of a model is answered by any replica."""
    for method in ("ServerLive", "ServerReady", "ServerMetadata"):
        match = {"path": f"{GRPC_SERVICE}{method}"}
        if found:
            yield lead_route(found[0], match)
        else:
            yield direct(
                match,
                503,
                headers=(header("grpc-status", _UNAVAILABLE),),
                error="no service is up",
                code="unavailable",
                hint="start one with `argosy serve`",
            )


def _looked_into(path: str) -> Json:
    """The script reads the model's name, and the route is chosen anew."""
    route = direct(
        {"path": path, "headers": [header_present(MODEL_HEADER, present=False)]},
        503,
        headers=(header("grpc-status", _UNAVAILABLE),),
        error="the gateway could not read the model's name",
        code="unavailable",
        hint=f"set the metadata {MODEL_HEADER} to it",
    )
    script = config("filters.http.lua.v3.LuaPerRoute", name=MODEL_SCRIPT)
    whole = config("filters.http.buffer.v3.BufferPerRoute", buffer={"max_request_bytes": BODY_LIMIT})
    return {**route, "typed_per_filter_config": {WHOLE_FILTER: whole, MODEL_FILTER: script}}


def _unknown_model(path: str, services: Sequence[str]) -> Json:
    return direct(
        {"path": path},
        404,
        headers=(header("grpc-status", _NOT_FOUND),),
        error=f"model %REQ({MODEL_HEADER})% version %REQ({MODEL_VERSION_HEADER})% is not served",
        code="not_found",
        hint=f"services here: {', '.join(services)}" if services else "no service is up",
    )
