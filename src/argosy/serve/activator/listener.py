"""Serves the activator on a unix socket in the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import uvicorn

from argosy.errors import ArgosyError, TooLarge
from argosy.serve.activator.activator import Incoming
from argosy.serve.http.failures import error_body, error_status
from argosy.serve.http.server import KEEP_ALIVE_SECONDS, Answer

_BACKLOG = 2048
_MOST_BYTES = 128 * 2**20


class Handler(Protocol):
    async def answer(self, request: Incoming) -> Answer: ...


class Listening:
    """A server at work."""

    def __init__(self, server: _Server, task: asyncio.Task[None], address: str) -> None:
        self._server = server
        self._task = task
        self._address = address

    async def close(self) -> None:
        self._server.ended.set()
        await self._task
        Path(self._address).unlink(missing_ok=True)


async def listen(handler: Handler, address: str) -> Listening:
    """A socket that is left from before is replaced; only its owner may open it."""
    Path(address).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    Path(address).chmod(0o600)
    listener.listen(_BACKLOG)
    config = uvicorn.Config(
        _application(handler),
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    return Listening(server, task, address)


class _Server(uvicorn.Server):
    """Ended by whoever started it, without looking for that ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ended.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Request:
    """Its body is read as it comes; ``whole`` is set when there is no more of it."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.parts: list[bytes] = []
        self.size = 0
        self.whole = asyncio.Event()

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    async def body(self, limit: int) -> bytes:
        await self.whole.wait()
        if self.size > limit:
            raise TooLarge(f"the request body holds {self.size} bytes or more, at most {limit} are taken")
        return b"".join(self.parts)


def _application(handler: Handler) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        request = _Request(scope)
        answering = loop.create_task(_answer(handler, request))
        reading = loop.create_task(_read(receive, request, answering))
        try:
            answer = await answering
        except asyncio.CancelledError:
            return
        finally:
            reading.cancel()
        length = (b"content-length", str(len(answer.body)).encode())
        headers = [*answer.headers, length]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return application


async def _answer(handler: Handler, request: _Request) -> Answer:
    try:
        return await handler.answer(request)
    except ArgosyError as error:
        return Answer(error_status(error), error_body(error))


async def _read(receive: Any, request: _Request, answering: asyncio.Task[Answer]) -> None:
    while (message := await receive())["type"] != "http.disconnect":
        request.parts.append(message.get("body", b""))
        request.size += len(request.parts[-1])
        if not message.get("more_body") or request.size > _MOST_BYTES:
            request.whole.set()
    answering.cancel()
