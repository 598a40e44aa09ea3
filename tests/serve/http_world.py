"""A server in the test's own loop, and handlers that echo."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from argosy.errors import NotFound
from argosy.serve.http import server
from argosy.serve.http.server import Answer, Listening, Request, StreamedAnswer

from .harness import until

LIMIT = 1000


class Echo:
    """Answers with what it was sent, and remembers what became of its requests."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.taken = 0
        self.gate = asyncio.Event()
        self.waiting = 0

    async def answer(self, request: Request) -> Answer | StreamedAnswer:
        match request.path:
            case "/wait":
                self.waiting += 1
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
                return Answer(200, b'"waited"')
            case "/missing":
                raise NotFound("nothing is here", hint="look elsewhere")
            case "/broken":
                raise ZeroDivisionError
            case "/stream":
                return StreamedAnswer(200, server.JSON, self._pieces(request))
            case "/counted":
                return StreamedAnswer(200, server.JSON, self._pieces(request), length=6)
            case "/large":
                return Answer(200, bytes(50_000_000))
            case "/slowly":
                return await self._slowly(request)
            case "/describe":
                found = {"path": request.path, "query": request.query.decode(), "method": request.method}
                return Answer(200, json.dumps(found).encode())
        return Answer(200, await request.body(LIMIT))

    async def close(self) -> None:
        return None

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        count = int(request.query or b"3")
        for number in range(count):
            self.taken = number
            yield b"%02d" % (number % 100) * (50_000 if count > 3 else 1)

    async def _slowly(self, request: Request) -> Answer:
        size = 0
        async for chunk in request.chunks():
            size += len(chunk)
            self.taken = size
            await self.gate.wait()
        return Answer(200, b"%d" % size)


class QuickEcho(Echo):
    """The same, without a task a request, for /quick."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = 0
        self.held: list[Request] = []

    def quick_limit(self, request: Request) -> int | None:
        return LIMIT if request.path.startswith("/quick") else None

    def begin(self, request: Request, body: bytes) -> None:
        if request.path == "/quick/missing":
            raise NotFound("nothing is here")
        if request.path == "/quick/broken":
            raise ZeroDivisionError
        if request.path == "/quick/held":
            request.on_gone = self._lost
            self.held.append(request)
            return
        request.reply(Answer(200, body))

    def _lost(self) -> None:
        self.gone += 1


BOTH = pytest.mark.parametrize("path", [b"/echo", b"/quick"])


class World:
    def __init__(self, handler: QuickEcho, listening: Listening) -> None:
        self.handler = handler
        self.listening = listening

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.listening.port)

    async def say(self, data: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        reader, writer = await self.connect()
        writer.write(data)
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def world(window_seconds: float = 10.0) -> AsyncIterator[World]:
    handler = QuickEcho()
    listening = await server.listen(handler, 0, window_seconds=window_seconds)
    try:
        yield World(handler, listening)
    finally:
        handler.gate.set()
        await listening.close(0)


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path, b"host: x", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LAST = b"connection: close"


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
    )
    return int(head.split(b" ")[1]), head, await reader.readexactly(length)


async def idle(served: World) -> bool:
    return await until(lambda: not served.listening.in_flight, "every request to end")
