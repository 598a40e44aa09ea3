"""What handlers give back, what they are, and how answers are written."""

from __future__ import annotations

import http
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from argosy.errors import ArgosyError, InvalidRequest, NotFound, TooLarge
from argosy.serve.http.failures import error_body, error_status

if TYPE_CHECKING:
    from argosy.serve.http.request import Request

Headers = tuple[tuple[bytes, bytes], ...]

JSON: Headers = ((b"content-type", b"application/json"),)
RETRY: Headers = ((b"retry-after", b"1"),)
# Which limit it was, as the gateway says it of its own.
QUEUE_FULL: Headers = ((b"x-argosy-refused", b"queue"),)
CLOSE: Headers = ((b"connection", b"close"),)
KEEP: Headers = ((b"connection", b"keep-alive"),)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Headers = JSON


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """``body`` is written as it comes, never faster than the caller reads. Without ``length`` it is chunked.

    A body that raises, or that does not hold ``length`` bytes, ends the connection: the status is out.
    """

    status: int
    headers: Headers
    body: AsyncIterator[bytes]
    length: int | None = None


class Handler(Protocol):
    """What a process serves beyond health. HEAD comes as GET: the shell drops the body."""

    async def answer(self, request: Request) -> Answer | StreamedAnswer:
        """Cancelled when the caller goes away. Raises ArgosyError for whatever has a status."""
        ...

    async def close(self) -> None: ...


class QuickHandler(Handler, Protocol):
    """A handler that takes some requests whole and answers them without a task."""

    def quick_limit(self, request: Request) -> int | None:
        """How many bytes of body :meth:`begin` takes at most for this request; None: ``answer`` has it."""
        ...

    def begin(self, request: Request, body: bytes) -> None:
        """Calls ``request.reply`` once, now or later. May set ``request.on_gone``. Raises ArgosyError."""
        ...


class RequestTimeout(InvalidRequest):
    code = "request_timeout"
    http_status = 408


class HeadTooLarge(TooLarge):
    code = "head_too_large"
    http_status = 431


def failure(error: ArgosyError) -> Answer:
    status = error_status(error)
    headers = JSON + RETRY if status in (429, 503) else JSON
    return Answer(status, error_body(error), headers + QUEUE_FULL if status == 429 else headers)


def unexpected() -> Answer:
    return failure(ArgosyError("the server failed unexpectedly", hint="see the replica's log"))


def too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"the request body holds {size} bytes or more, at most {limit} are taken",
        hint="send fewer or smaller instances in a request",
    )


def not_found(request: Request) -> NotFound:
    return NotFound(
        f"nothing answers {request.method} {request.path}",
        hint="POST /v1/models/NAME:predict or /v2/models/NAME/infer; GET /v1/models, /v2, /healthz, /readyz",
    )


def method_not_allowed(request: Request, allowed: str) -> Answer:
    body: Mapping[str, Any] = {
        "error": f"{request.method} is not allowed on {request.path}",
        "code": "method_not_allowed",
        "hint": f"use {allowed}",
    }
    allow = "GET, HEAD" if allowed == "GET" else allowed
    return Answer(405, orjson.dumps(body), (*JSON, (b"allow", allow.encode())))


def _reason(status: int) -> bytes:
    try:
        return http.HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"


_STATUS_LINES = {status: b"HTTP/1.1 %d %s\r\n" % (status, _reason(status)) for status in range(100, 600)}


def head(status: int, headers: Headers, extra: Headers = ()) -> bytes:
    """The status line and these headers, without the empty line that ends them."""
    lines = b"".join(b"%b: %b\r\n" % one for one in (*headers, *extra))
    return _STATUS_LINES[status] + lines
