"""Envoy's own errors in the form of ours: a JSON document that says what, why, and when to come back."""

from __future__ import annotations

from typing import Any

from argosy.serve.gateway.envoy.actions import REQUEST_SECONDS, WHOLE_REQUEST_SECONDS
from argosy.serve.gateway.envoy.json_types import Json, header, header_present
from argosy.serve.gateway.envoy.names import QUEUE_HEADER, REFUSED_HEADER, USER_HEADER

HEADERS_SECONDS = 10.0

_RESOURCE_EXHAUSTED = "8"
_AGAIN = "send the request again after a second"


def error_bodies(body_limit: int) -> list[Json]:
    """The first that fits an answer of Envoy's own makes its body."""
    return [
        *_limits(body_limit),
        *replica_errors(),
        *_protocol(),
    ]


def too_large_body(body_limit: int) -> Json:
    return {
        "error": f"the request body is larger than the {body_limit} bytes that are taken",
        "code": "too_large",
        "hint": "send fewer or smaller instances in a request",
    }


def _limits(body_limit: int) -> list[Json]:
    over = _both(_flags("UO"), _header(header_present(QUEUE_HEADER)))
    return [
        _mapper(_both(_status_is(413), _unannounced(body_limit)), **too_large_body(body_limit)),
        _too_many(_both(over, _is_grpc()), header("grpc-status", _RESOURCE_EXHAUSTED)),
        _too_many(over),
        _mapper(
            _status_is(401),
            headers=(_refused("token"),),
            error="%LOCAL_REPLY_BODY%",
            code="unauthorized",
            hint="send 'Authorization: Bearer TOKEN' with a token from `argosy token create`",
        ),
    ]


def _unannounced(body_limit: int) -> Json:
    """A route refuses a length that is announced, and names its own limit."""
    small = {"name": "content-length", "range_match": {"start": 0, "end": body_limit + 1}}
    unknown = header_present("content-length", present=False)
    return {"or_filter": {"filters": [_header(unknown), _header(small)]}}


def _too_many(match: Json, *headers: Json) -> Json:
    tier, service = _fact("tier"), _fact("service")
    return _mapper(
        match,
        status=429,
        headers=(*headers, _refused("concurrency")),
        retry_after=1,
        error=f"tier '{tier}' of service '{service}' has {_fact('concurrency')} under way and "
        f"{_fact('queue')} waiting, which is all that it allows at once",
        code="limited",
        hint=f"{_AGAIN}, or when one of the requests under way is answered",
        limit="concurrency",
        tier=tier,
        user=f"%REQ({USER_HEADER})%",
    )


def replica_errors() -> list[Json]:
    """Those of the listeners behind the public one, which has looked at the request already."""
    state = f"{_AGAIN}; `argosy services` shows the state"
    return [
        _mapper(
            _flags("UH", "NC"),
            retry_after=1,
            error="no replica is ready for %PATH(NQ)%",
            code="unavailable",
            hint=state,
        ),
        # Envoy's details of a connection that could not be made name files of the home.
        _mapper(
            _flags("UF"),
            retry_after=1,
            error="no replica for %PATH(NQ)% can be reached, nor the control plane, which starts them",
            code="unavailable",
            hint=state,
        ),
        _mapper(
            _flags("UC", "URX", "LR", "UR"),
            retry_after=1,
            error="the replicas for %PATH(NQ)% gave no answer (%RESPONSE_CODE_DETAILS%)",
            code="unavailable",
            hint=state,
        ),
        _full(_both(_flags("UO"), _is_grpc()), header("grpc-status", _RESOURCE_EXHAUSTED)),
        _full(_flags("UO")),
        _mapper(
            _flags("UT"),
            error=f"no answer for %PATH(NQ)% within {REQUEST_SECONDS:g} s",
            code="timeout",
            hint="send fewer instances in a request",
        ),
    ]


def _full(match: Json, *headers: Json) -> Json:
    """The replicas have all the requests that they take: what they would say themselves, but sooner."""
    return _mapper(
        match,
        status=429,
        headers=(*headers, _refused("queue")),
        retry_after=1,
        error="the replicas for %PATH(NQ)% have as many requests under way and waiting as they take",
        code="overloaded",
        hint=f"{_AGAIN}; more replicas take more: `argosy scale`",
        limit="queue",
    )


def _protocol() -> list[Json]:
    return [
        _mapper(
            _flags("DPE"),
            error="the request is not valid HTTP (%RESPONSE_CODE_DETAILS%)",
            code="invalid_request",
        ),
        _mapper(
            _status_is(431),
            error="the request's headers are too many or too large",
            code="too_large",
            hint="at most 100 headers of 60 KiB together are taken",
        ),
        _mapper(
            _status_is(408),
            error="the request was not received in time",
            code="timeout",
            hint=f"its headers may take {HEADERS_SECONDS:g} s, all of it {WHOLE_REQUEST_SECONDS:g} s",
        ),
        _mapper(
            _status_is(403),
            error="the connection can not be upgraded to another protocol",
            code="invalid_request",
            hint="speak HTTP/1.1 or HTTP/2",
        ),
        _mapper(
            _status_is(400),
            error="the request is not valid HTTP (%RESPONSE_CODE_DETAILS%)",
            code="invalid_request",
            hint="send a Host header and a path without %%2F, %%5C and %%00",
        ),
    ]


def _mapper(
    match: Json,
    *,
    status: int = 0,
    retry_after: int = 0,
    headers: tuple[Json, ...] = (),
    **body: Any,
) -> Json:
    mapper: Json = {"filter": match}
    if status:
        mapper["status_code"] = status
    if retry_after:
        headers = (*headers, header("retry-after", str(retry_after)))
        if "limit" in body:
            body["retry_after"] = retry_after
    mapper["body_format_override"] = {"json_format": body, "omit_empty_values": True}
    if headers:
        mapper["headers_to_add"] = list(headers)
    return mapper


def _fact(name: str) -> str:
    """Of the route that led to the limit."""
    return f"%METADATA(ROUTE:argosy:{name})%"


def _refused(limit: str) -> Json:
    return header(REFUSED_HEADER, limit)


def _status_is(status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"argosy.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _flags(*flags: str) -> Json:
    return {"response_flag_filter": {"flags": list(flags)}}


def _header(matcher: Json) -> Json:
    return {"header_filter": {"header": matcher}}


def _is_grpc() -> Json:
    return _header({"name": "content-type", "string_match": {"prefix": "application/grpc"}})


def _both(first: Json, second: Json) -> Json:
    return {"and_filter": {"filters": [first, second]}}
