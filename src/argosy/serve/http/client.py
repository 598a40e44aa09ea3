"""A small HTTP/1.1 client on keep-alive connections, for the hop from a router to its members.

An ensemble takes this hop once for each of its members, and there a general client costs several times what
parsing and proxy do together. It speaks to one address, knows no redirects, and never retries: Envoy on the
other side does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import cast

import httptools


class RequestFailed(Exception):
    """No whole answer came; the text says why."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    headers: dict[bytes, bytes]


class _Connection(asyncio.Protocol):
    """One connection, at most one request on it at a time."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._parser: httptools.HttpResponseParser
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail(f"the connection was closed before the answer ({exc or 'end of stream'})")

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, AttributeError) as error:
            self._fail(f"the answer is not HTTP ({error})")
            self.close()

    def send(self, head: bytes, body: bytes) -> asyncio.Future[Response]:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers = {}
        self._body = []
        self._transport.writelines((head, body))
        return self._answer

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            return
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Response(status, b"".join(self._body), self._headers))

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RequestFailed(reason))


class Client:
    """Requests to one server: a path is a unix socket, a number a loopback port.

    ``authority`` is the Host header. Connections are opened as needed and kept.
    """

    def __init__(self, address: str | int, authority: str = "localhost") -> None:
        self._address = address
        self._authority = authority.encode()
        self._idle: deque[_Connection] = deque()

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        timeout_seconds: float,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Response:
        """The whole answer, of any status. Raises RequestFailed when there is none in time."""
        head = self._head(method, path, body, headers)
        try:
            async with asyncio.timeout(timeout_seconds):
                connection = await self._connection()
                try:
                    response = await connection.send(head, body)
                except BaseException:
                    # Whatever comes back later belongs to a request nobody waits for.
                    connection.close()
                    raise
        except TimeoutError:
            raise RequestFailed(f"no answer within {timeout_seconds:g} s") from None
        if not connection.closed:
            self._idle.append(connection)
        return response

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self._address, str):
                return (await loop.create_unix_connection(_Connection, self._address))[1]
            return (await loop.create_connection(_Connection, "127.0.0.1", self._address))[1]
        except OSError as error:
            raise RequestFailed(f"no connection to {self._address} ({error})") from None

    def _head(self, method: str, path: str, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1".encode(),
            b"host: " + self._authority,
            b"content-length: %d" % len(body),
            *(name + b": " + value for name, value in headers),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"
