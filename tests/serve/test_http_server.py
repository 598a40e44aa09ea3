"""The HTTP server with real sockets: what is right, and what streams."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from argosy.serve.http import server
from argosy.serve.http.client import Client
from argosy.serve.http.server import Answer

from .harness import asynchronous, until
from .http_world import BOTH, Echo, post, read_answer, world


@BOTH
@asynchronous
async def test_a_connection_is_kept_for_the_next_request(path: bytes) -> None:
    async with world() as served:
        reader, writer = await served.connect()
        for body in (b"one", b"", b"three"):
            writer.write(post(path, body))
            assert (await read_answer(reader))[::2] == (200, body)
        writer.close()


@BOTH
@asynchronous
async def test_pipelined_requests_are_answered_in_order_however_they_are_cut(path: bytes) -> None:
    requests = b"".join(post(path, b"number %d" % n) for n in range(50))
    for size in (1 << 20, 37, 1):
        async with world() as served:
            reader, writer = await served.connect()
            for at in range(0, len(requests), size):
                writer.write(requests[at : at + size])
                if size == 1 and at % 100 == 0:
                    await asyncio.sleep(0)
            bodies = [(await read_answer(reader))[2] for _ in range(50)]
            assert bodies == [b"number %d" % n for n in range(50)]
            writer.close()


@asynchronous
async def test_thousands_of_pipelined_requests_need_no_deep_stack() -> None:
    async with world() as served:
        reader, writer = await served.connect()
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n" * 5000)
        for _ in range(5000):
            assert (await read_answer(reader))[0] == 200
        writer.close()


@asynchronous
async def test_a_slow_request_holds_back_those_behind_it_and_nothing_else() -> None:
    async with world() as served:
        reader, writer = await served.connect()
        writer.write(post(b"/wait", b"") + post(b"/quick", b"second"))
        await until(lambda: served.handler.waiting, "the first request to wait")
        assert (
            await Client(served.listening.port).request("GET", "/healthz", timeout_seconds=5)
        ).status == 200
        served.handler.gate.set()
        assert [(await read_answer(reader))[2] for _ in range(2)] == [b'"waited"', b"second"]
        writer.close()


@BOTH
@asynchronous
async def test_http_1_0_is_answered_and_closed_unless_it_asks_to_be_kept(path: bytes) -> None:
    async with world() as served:
        answer = await served.say(b"POST %s HTTP/1.0\r\ncontent-length: 2\r\n\r\nhi" % path)
        assert answer.endswith(b"\r\n\r\nhi")
        reader, writer = await served.connect()
        for _ in range(2):
            writer.write(b"POST %s HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi" % path)
            status, head, body = await read_answer(reader)
            assert (status, body) == (200, b"hi")
            assert b"connection: keep-alive" in head
        writer.close()


@asynchronous
async def test_head_is_answered_as_get_without_the_body() -> None:
    async with world() as served:
        for path in (b"/healthz", b"/describe"):
            answer = await served.say(b"HEAD %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n")
            assert b"content-length: 0" not in answer


@asynchronous
async def test_the_target_is_taken_apart() -> None:
    async with world() as served:
        for target in (b"/describe?a=%41&b", b"/%64escribe?a=%41&b", b"http://host:1/describe?a=%41&b"):
            answer = await served.say(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target)
            found = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert found == {"path": "/describe", "query": "a=%41&b", "method": "GET"}


@BOTH
@asynchronous
async def test_a_caller_that_waits_to_be_told_is_told_to_go_on(path: bytes) -> None:
    async with world() as served:
        reader, writer = await served.connect()
        writer.write(
            b"POST %s HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n" % path
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert (await read_answer(reader))[2] == b"hello"
        writer.close()


@BOTH
@asynchronous
async def test_a_body_in_chunks_is_put_together(path: bytes) -> None:
    async with world() as served:
        answer = await served.say(
            b"POST %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" % path
        )
        assert answer.endswith(b"\r\n\r\nabcde")


@asynchronous
async def test_an_answer_may_come_much_later() -> None:
    async with world() as served:
        reader, writer = await served.connect()
        writer.write(post(b"/quick/held", b""))
        await until(lambda: served.handler.held, "the request to begin")
        served.handler.held[0].reply(Answer(201, b"{}"))
        assert (await read_answer(reader))[0] == 201
        writer.close()


@asynchronous
async def test_streamed_answers_are_chunked_or_of_the_length_they_said() -> None:
    async with world() as served:
        answer = await served.say(b"GET /stream HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert b"transfer-encoding: chunked" in answer
        assert answer.endswith(b"\r\n\r\n2\r\n00\r\n2\r\n01\r\n2\r\n02\r\n0\r\n\r\n")
        answer = await served.say(b"GET /counted HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert b"content-length: 6\r\n" in answer
        assert answer.endswith(b"\r\n\r\n000102")
        old = await served.say(b"GET /stream HTTP/1.0\r\n\r\n")
        assert old.endswith(b"\r\n\r\n000102")
        short = await served.say(b"GET /counted?1 HTTP/1.1\r\n\r\n")
        assert short.endswith(b"\r\n\r\n00")


@asynchronous
async def test_a_streamed_answer_is_not_made_faster_than_it_is_read() -> None:
    async with world() as served:
        reader, writer = await served.connect()
        writer.write(b"GET /stream?1000 HTTP/1.1\r\n\r\n")
        await until(lambda: served.handler.taken, "the stream to begin")
        seen = -1
        while seen != served.handler.taken:
            seen = served.handler.taken
            await asyncio.sleep(0.05)
        # 100 MB in all: what is under way are buffers of the kernel and a little more.
        assert seen < 300
        assert len(await _whole_stream(reader)) == 100_000 * 1000
        assert served.handler.taken == 999
        writer.close()


async def _whole_stream(reader: asyncio.StreamReader) -> bytes:
    await reader.readuntil(b"\r\n\r\n")
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readexactly(2)
    return b"".join(parts)


@asynchronous
async def test_a_streamed_body_is_not_read_faster_than_it_is_taken() -> None:
    async with world() as served:
        reader, writer = await served.connect()
        size = 64 * 2**20
        writer.write(b"POST /slowly HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        sent = asyncio.create_task(_send(writer, size))
        await until(lambda: served.handler.taken, "the first chunk to be taken")
        before = -1
        while before != writer.transport.get_write_buffer_size():
            before = writer.transport.get_write_buffer_size()
            await asyncio.sleep(0.05)
        assert not sent.done()
        assert served.handler.taken <= 2**20
        served.handler.gate.set()
        assert (await read_answer(reader))[2] == b"%d" % size
        await sent
        writer.close()


async def _send(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(0, size, 2**20):
        writer.write(bytes(2**20))
        await writer.drain()


@asynchronous
async def test_a_unix_socket_is_served_for_its_owner_alone_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    for _ in range(2):
        listening = await server.listen(Echo(), str(path))
        client = Client(str(path))
        assert (await client.request("POST", "/", b"hello", timeout_seconds=5)).body == b"hello"
        assert path.stat().st_mode & 0o777 == 0o600
        client.close()
        await listening.close()
        assert not path.exists()


@asynchronous
async def test_a_server_that_drains_says_goodbye_and_waits_for_what_is_in_flight() -> None:
    async with world() as served:
        reader, writer = await served.connect()
        writer.write(post(b"/wait", b""))
        await until(lambda: served.listening.in_flight, "the request to begin")
        draining = asyncio.create_task(served.listening.drain())
        await asyncio.sleep(0)
        client = Client(served.listening.port)
        response = await client.request("POST", "/quick", b"x", timeout_seconds=5)
        assert response.headers[b"connection"] == b"close"
        assert response.headers[b"x-envoy-immediate-health-check-fail"] == b"true"
        assert (await client.request("GET", "/readyz", timeout_seconds=5)).status == 503
        assert not draining.done()
        served.handler.gate.set()
        assert (await read_answer(reader))[0] == 200
        await draining
        writer.close()
        client.close()


@asynchronous
async def test_a_server_that_closes_lets_answers_out_that_are_about_to_come_and_cuts_off_the_rest() -> None:
    for opens in (True, False):
        handler = Echo()
        listening = await server.listen(handler, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(post(b"/wait", b""))
        await until(lambda handler=handler: handler.waiting, "the request to begin")  # type: ignore[misc]
        if opens:
            handler.gate.set()
        await listening.close(5 if opens else 0)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ") if opens else answer == b""
        assert handler.cancelled == (0 if opens else 1)
        writer.close()
