"""The HTTP shell that model servers and routers share: health, errors, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import uvicorn
import uvloop

from argosy import reporting
from argosy.errors import ArgosyError, NotFound, TooLarge
from argosy.serve.http.failures import error_body, error_status

Scope = Mapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Any], Any]
Headers = tuple[tuple[bytes, bytes], ...]

JSON: Headers = ((b"content-type", b"application/json"),)
LIVE_PATHS = frozenset(("/healthz", "/v2/health/live"))
READY_PATHS = frozenset(("/readyz", "/v2/health/ready"))

# Longer than the gateway keeps an idle connection, so that it is never this side that closes first.
KEEP_ALIVE_SECONDS = 3600
# An ending process goes on answering until nobody has asked for this long, or until the gateway was told.
QUIET_SECONDS = 0.25
LINGER_SECONDS = 2.0
# Tells Envoy to stop choosing this process before its next health check.
LEAVING: Headers = ((b"connection", b"close"), (b"x-envoy-immediate-health-check-fail", b"true"))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Headers = JSON


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An answer that is never held whole; ``length`` is told where it is known."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]
    length: int | None = None


class Request:
    """What a handler sees of one HTTP request."""

    __slots__ = ("_receive", "_scope", "method", "path", "query")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ConnectionError when the caller goes before its end."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller left before the end of its request")
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk

    def header(self, name: bytes) -> bytes | None:
        for key, value in self._scope["headers"]:
            if key == name:
                return bytes(value)
        return None

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge as soon as it is known to hold more than ``limit`` bytes."""
        announced = self.header(b"content-length")
        if announced is not None and int(announced) > limit:
            raise _too_large(int(announced), limit)
        message = await self._receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return body
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await self._receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(size, limit)
        return b"".join(parts)


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"the request body holds {size} bytes or more, at most {limit} are taken",
        hint="send fewer or smaller instances in a request",
    )


class Handler(Protocol):
    """What a process serves beyond health."""

    async def answer(self, request: Request) -> Answer | StreamedAnswer: ...

    async def close(self) -> None: ...


class Application:
    """The ASGI application: counts what is in flight, and turns every error into an answer."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._gateway_told = asyncio.Event()
        self._requests = 0
        self._idle.set()
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in LIVE_PATHS or scope["path"] in READY_PATHS:
            await self._send(self._health(scope["path"]), send)
            return
        self._in_flight += 1
        self._requests += 1
        self._idle.clear()
        try:
            await self._send(await self._answer(Request(scope, receive)), send)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def drain(self) -> None:
        """Returns when no more requests are to be expected and every one in flight has its answer."""
        self.draining = True
        deadline = asyncio.get_running_loop().time() + LINGER_SECONDS
        requests = -1
        while requests != self._requests and asyncio.get_running_loop().time() < deadline:
            requests = self._requests
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gateway_told.wait(), QUIET_SECONDS)
                break
        await self._idle.wait()

    def _health(self, path: str) -> Answer:
        if path in LIVE_PATHS:
            return Answer(200, b'{"live":true}')
        if not self.draining:
            return Answer(200, b'{"ready":true}')
        self._gateway_told.set()
        return Answer(503, b'{"ready":false,"error":"this process is stopping"}')

    async def _answer(self, request: Request) -> Answer | StreamedAnswer:
        try:
            return await self._handler.answer(request)
        except ArgosyError as error:
            status = error_status(error)
            retry: Headers = ((b"retry-after", b"1"),) if status in (429, 503) else ()
            return Answer(status, error_body(error), JSON + retry)
        except Exception:
            traceback.print_exc()
            unexpected = ArgosyError("the server failed unexpectedly", hint="see the replica's log")
            return Answer(500, error_body(unexpected))

    async def _send(self, answer: Answer | StreamedAnswer, send: Send) -> None:
        if isinstance(answer, StreamedAnswer):
            await self._stream(answer, send)
            return
        length = (b"content-length", str(len(answer.body)).encode())
        headers = [*answer.headers, length]
        if self.draining:
            headers += LEAVING
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _stream(self, answer: StreamedAnswer, send: Send) -> None:
        headers = list(answer.headers)
        if answer.length is not None:
            headers.append((b"content-length", str(answer.length).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for chunk in answer.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def not_found(request: Request) -> NotFound:
    return NotFound(
        f"nothing answers {request.method} {request.path}",
        hint="ask POST /v1/models/NAME:predict, or GET /v1/models for the names",
    )


def method_not_allowed(request: Request, allowed: str) -> Answer:
    body = {
        "error": f"{request.method} is not allowed on {request.path}",
        "code": "method_not_allowed",
        "hint": f"use {allowed}",
    }
    return Answer(405, orjson.dumps(body), (*JSON, (b"allow", allowed.encode())))


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which ends the process by the signal instead of exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(build: Callable[[], Handler]) -> None:
    """Serve on a loopback port of the kernel's choice, report it, and return after SIGTERM when drained."""
    _tune_garbage_collection()
    uvloop.run(_serve(build))


async def _serve(build: Callable[[], Handler]) -> None:
    handler = build()
    application = Application(handler)
    config = uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = _Server(config)
    tasks: set[asyncio.Task[None]] = set()

    async def end() -> None:
        await application.drain()
        server.should_exit = True

    def begin_end() -> None:
        if not tasks:
            tasks.add(asyncio.get_running_loop().create_task(end()))

    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, begin_end)
        # The kernel queues connections from here on, so the port may be told before the first is accepted.
        reporting.current().report("listening", {"port": listener.getsockname()[1]})
        await server.serve(sockets=[listener])
    await handler.close()


def _tune_garbage_collection() -> None:
    # What is loaded by now lives as long as the process: scanning it again only makes pauses.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
