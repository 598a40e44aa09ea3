"""The HTTP server with real sockets: what is right, what is wrong, and what never ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from argosy.errors import NotFound
from argosy.serve.http import connection, server
from argosy.serve.http.client import Client
from argosy.serve.http.server import Answer, Listening, Request, StreamedAnswer

from .harness import asynchronous, until

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


Build = Callable[[], Echo]
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
        await listening.close()


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


@BOTH
@asynchronous
async def test_a_body_over_the_limit_is_refused_at_once_and_the_answer_arrives(path: bytes) -> None:
    async with world() as served:
        reader, writer = await served.connect()
        # The caller goes on sending what is not wanted.
        writer.write(
            b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n" % path + b"x" * 500_000
        )
        status, head, body = await read_answer(reader)
        assert status == 413
        assert b"connection: close" in head
        assert json.loads(body)["code"] == "too_large"
        assert await reader.read() == b""
        writer.close()


@asynchronous
async def test_requests_that_hold_too_much_memory_together_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HELD_BYTES", 1500)
    async with world() as served:
        writers = []
        answers = []
        for _ in range(3):
            reader, writer = await served.connect()
            writer.write(b"POST /quick HTTP/1.1\r\ncontent-length: 700\r\n\r\n" + b"x" * 650)
            writers.append(writer)
            answers.append(reader)
        status, head, _ = await asyncio.wait_for(read_answer(answers[2]), 5)
        assert (status, b"retry-after: 1" in head) == (503, True)
        for reader, writer in zip(answers[:2], writers, strict=False):
            writer.write(b"x" * 50)
            assert (await read_answer(reader))[0] == 200
        assert served.listening.shell.held_bytes == 0
        assert served.listening.shell.arriving == 0
        for writer in writers:
            writer.close()


@BOTH
@asynchronous
async def test_chunks_over_the_limit_are_refused(path: bytes) -> None:
    async with world() as served:
        head = b"POST %s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % path
        answer = await served.say(head + b"600\r\n" + b"x" * 0x600 + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")


BAD_REQUESTS = [
    (b"hello\r\n\r\n", 400),
    (b"GET / HTTP/9.9\r\n\r\n", 400),
    (b"POST /quick HTTP/1.1\r\ncontent-length: ten\r\n\r\n", 400),
    (b"POST /quick HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
    (b"POST /quick HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400),
    (b"POST /quick HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\na: " + b"b" * 100_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\na: " + b"b" * 500_000, 431),
    (b"GET /" + b"b" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
]


@pytest.mark.parametrize(("data", "status"), BAD_REQUESTS, ids=range(len(BAD_REQUESTS)))
@asynchronous
async def test_what_is_no_request_is_refused_and_closed(data: bytes, status: int) -> None:
    async with world() as served:
        answer = await served.say(data)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
        assert answer.count(b"\r\ncontent-length: ") == 1
        assert {"error", "code", "hint"} <= json.loads(answer.partition(b"\r\n\r\n")[2]).keys()
        assert (
            await Client(served.listening.port).request("GET", "/healthz", timeout_seconds=5)
        ).status == 200


@BOTH
@asynchronous
async def test_bytes_behind_the_content_length_are_a_request_of_their_own_and_a_bad_one(path: bytes) -> None:
    async with world() as served:
        answer = await served.say(post(path, b"abc") + b"def\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"abc" in answer


@BOTH
@asynchronous
async def test_a_content_length_that_is_never_reached_ends_with_408(path: bytes) -> None:
    async with world(window_seconds=0.2) as served:
        answer = await served.say(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nshort" % path)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert await _idle(served)


@asynchronous
async def test_a_head_that_trickles_in_ends_with_408() -> None:
    async with world(window_seconds=0.3) as served:
        reader, writer = await served.connect()
        writer.write(b"GET / HTTP/1.1\r\n")

        async def trickle() -> None:
            while True:
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        status, _, body = await read_answer(reader)
        trickling.cancel()
        assert (status, json.loads(body)["code"]) == (408, "request_timeout")
        writer.close()


@asynchronous
async def test_an_idle_connection_and_a_long_answer_are_not_slow_callers() -> None:
    async with world(window_seconds=0.1) as served:
        reader, writer = await served.connect()
        writer.write(post(b"/quick", b"a"))
        await read_answer(reader)
        patient, waiting = await served.connect()
        waiting.write(post(b"/wait", b""))
        slow = await served.say(b"POST /quick HTTP/1.1\r\ncontent-length: 100\r\n\r\nshort")
        assert slow.startswith(b"HTTP/1.1 408 ")
        served.handler.gate.set()
        assert (await read_answer(patient))[0] == 200
        writer.write(post(b"/quick", b"b"))
        assert (await read_answer(reader))[2] == b"b"
        for one in (writer, waiting):
            one.close()


@asynchronous
async def test_a_caller_that_goes_away_withdraws_its_request() -> None:
    async with world() as served:
        for path in (b"/wait", b"/quick/held"):
            _, writer = await served.connect()
            writer.write(post(path, b""))
            await until(lambda: served.listening.in_flight, "the request to begin")
            writer.close()
            assert await _idle(served)
        assert served.handler.cancelled == 1
        assert served.handler.gone == 1
        served.handler.held[0].reply(Answer(200, b"too late"))


@asynchronous
async def test_an_answer_may_come_much_later() -> None:
    async with world() as served:
        reader, writer = await served.connect()
        writer.write(post(b"/quick/held", b""))
        await until(lambda: served.handler.held, "the request to begin")
        served.handler.held[0].reply(Answer(201, b"{}"))
        assert (await read_answer(reader))[0] == 201
        writer.close()


@pytest.mark.parametrize(("path", "status"), [("missing", 404), ("broken", 500)])
@asynchronous
async def test_errors_are_json_and_the_connection_goes_on(path: str, status: int) -> None:
    async with world() as served:
        client = Client(served.listening.port)
        for prefix in ("/", "/quick/"):
            response = await client.request("POST", prefix + path, b"x", timeout_seconds=5)
            assert (response.status, {"error", "code"} <= json.loads(response.body).keys()) == (status, True)
        client.close()


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


async def _idle(served: World) -> bool:
    return await until(lambda: not served.listening.in_flight, "every request to end")
