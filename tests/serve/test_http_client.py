"""The small client, against a server that does as each test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from argosy.serve.http.client import Client, RequestFailed

from .harness import asynchronous

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve, folder: Path) -> AsyncIterator[tuple[Client, list[None]]]:
    """A client of ``serve``, and an entry for each connection made."""
    connections: list[None] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_unix_server(connected, folder / "s")
    client = Client(str(folder / "s"), "somewhere")
    async with listening:
        yield client, connections
        client.close()


def answering(*answers: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        await reader.read()

    return serve


OK = b"HTTP/1.1 200 OK\r\nX-Name: Value\r\ncontent-length: 4\r\n\r\nbody"


@asynchronous
async def test_a_connection_is_used_again(tmp_path: Path) -> None:
    async with server(answering(OK, OK, OK), tmp_path) as (client, connections):
        for _ in range(3):
            response = await client.request("GET", "/", timeout_seconds=5)
            assert (response.status, response.body, response.headers[b"x-name"]) == (200, b"body", b"Value")
        assert len(connections) == 1


@asynchronous
async def test_requests_at_the_same_time_have_connections_of_their_own(tmp_path: Path) -> None:
    async with server(answering(OK), tmp_path) as (client, connections):
        await asyncio.gather(*(client.request("GET", "/", timeout_seconds=5) for _ in range(4)))
        assert len(connections) == 4


@asynchronous
async def test_a_connection_the_server_closes_after_its_answer_is_not_used_again(tmp_path: Path) -> None:
    closing = OK.replace(b"X-Name: Value", b"Connection: close")
    async with server(answering(closing), tmp_path) as (client, connections):
        for _ in range(2):
            assert (await client.request("GET", "/", timeout_seconds=5)).status == 200
        assert len(connections) == 2


@asynchronous
async def test_an_answer_in_chunks_and_after_a_continue_is_whole(tmp_path: Path) -> None:
    chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with server(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + chunks), tmp_path) as (client, _):
        assert (await client.request("POST", "/", b"x", timeout_seconds=5)).body == b"abcde"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "is not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "closed before"),
    ],
)
@asynchronous
async def test_an_answer_that_is_none_or_half_of_one_fails(
    tmp_path: Path, answer: bytes, reason: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with server(serve, tmp_path) as (client, _):
        with pytest.raises(RequestFailed, match=reason):
            await client.request("GET", "/", timeout_seconds=5)


@asynchronous
async def test_silence_fails_in_time_and_spoils_no_later_request(tmp_path: Path) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await reader.read()
        await answering(OK)(reader, writer)

    async with server(serve, tmp_path) as (client, connections):
        with pytest.raises(RequestFailed, match=r"no answer within 0\.05 s"):
            await client.request("GET", "/", timeout_seconds=0.05)
        assert (await client.request("GET", "/", timeout_seconds=5)).body == b"body"
        assert len(connections) == 2


@asynchronous
async def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestFailed, match="no connection to"):
        await Client(str(tmp_path / "nobody")).request("GET", "/", timeout_seconds=1)
