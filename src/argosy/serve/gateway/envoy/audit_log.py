"""What the gateway writes down of each request to a model: who, what, how much; never what was in it."""

from __future__ import annotations

from argosy.serve.gateway.envoy.json_types import Json, header_is, typed
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

# The keys of serve/access/audit_lines.py. Short: there is a line for each request.
_FIELDS = {
    "time": "%START_TIME(%s.%3f)%",
    "user": f"%REQ({USER_HEADER})%",
    "group": f"%REQ({GROUP_HEADER})%",
    "tier": f"%REQ({TIER_HEADER})%",
    "token": f"%REQ({TOKEN_HEADER})%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "service": "%ROUTE_NAME%",
    "model": f"%REQ({MODEL_HEADER})%",
    "revision": f"%RESP({REVISION_HEADER})%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "status": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "flags": "%RESPONSE_FLAGS%",
    "refused": f"%RESP({REFUSED_HEADER})%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "milliseconds": "%DURATION%",
}


def audit_log(path: str) -> Json:
    """Predictions and refusals. Health checks, probes and whatever only reads are left out."""
    log = typed(
        "envoy.access_loggers.file",
        "access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format={"json_format": _FIELDS, "omit_empty_values": True},
    )
    return {**log, "filter": {"or_filter": {"filters": [_asked_a_model(), _status_is(401)]}}}


def _asked_a_model() -> Json:
    asked = f"(/v[12]/models/.*|{GRPC_SERVICE}ModelInfer)"
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": f"{asked}.*"}}}
    return {"and_filter": {"filters": [_header(header_is(":method", "POST")), _header(path)]}}


def _status_is(status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"argosy.audited.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _header(matcher: Json) -> Json:
    return {"header_filter": {"header": matcher}}
