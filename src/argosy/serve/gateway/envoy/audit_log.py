"""What the gateway writes down of each request to a model: who, what, how much; never what was in it."""

from __future__ import annotations

from argosy.serve.gateway.envoy.json_types import Json, header_is, text, typed
from argosy.serve.gateway.envoy.names import (
    GROUP_HEADER,
    GRPC_SERVICE,
    MODEL_HEADER,
    REFUSED_HEADER,
    REVISION_HEADER,
    TIER_HEADER,
    TOKEN_HEADER,
    USER_HEADER,
)

# One line a request, its fields between tabs, a dash for what is empty. Of these only the last is a caller's
# own text that may hold a tab. Half the cost of JSON, and there is a line for each request.
FIELDS = {
    "time": "%START_TIME(%s.%3f)%",
    "status": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "refused": f"%RESP({REFUSED_HEADER})%",
    "user": f"%REQ({USER_HEADER})%",
    "group": f"%REQ({GROUP_HEADER})%",
    "tier": f"%REQ({TIER_HEADER})%",
    "token": f"%REQ({TOKEN_HEADER})%",
    "service": "%ROUTE_NAME%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "milliseconds": "%DURATION%",
    "revision": f"%RESP({REVISION_HEADER})%",
    "flags": "%RESPONSE_FLAGS%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "model": f"%REQ({MODEL_HEADER})%",
}
EMPTY = "-"


def audit_log(path: str) -> Json:
    """Predictions and refusals. Health checks, probes and whatever only reads are left out."""
    log = typed(
        "envoy.access_loggers.file",
        "access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format=text("\t".join(FIELDS.values()) + "\n"),
    )
    return {**log, "filter": _any(_asked_a_model(), _status_is(401))}


def _asked_a_model() -> Json:
    paths = [
        {"name": ":path", "string_match": {"prefix": prefix}}
        for prefix in ("/v1/models/", "/v2/models/", f"{GRPC_SERVICE}ModelInfer")
    ]
    asked = _any(*(_header(path) for path in paths))
    return {"and_filter": {"filters": [_header(header_is(":method", "POST")), asked]}}


def _status_is(status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"argosy.audited.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _header(matcher: Json) -> Json:
    return {"header_filter": {"header": matcher}}


def _any(*filters: Json) -> Json:
    return {"or_filter": {"filters": list(filters)}}
