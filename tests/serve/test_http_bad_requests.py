"""The HTTP server and callers that send nonsense, too much, too slowly, or go away."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.serve.http import limits
from argosy.serve.http.client import Client
from argosy.serve.http.server import Answer
from argosy.serve.http.shell import Shell

from .harness import asynchronous, until
from .http_world import BOTH, QuickEcho, idle, post, read_answer, world


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
    monkeypatch.setattr(limits, "HELD_BYTES", 1500)
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
        assert await idle(served)


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
            assert await idle(served)
        assert served.handler.cancelled == 1
        assert served.handler.gone == 1
        served.handler.held[0].reply(Answer(200, b"too late"))


@pytest.mark.parametrize(("path", "status"), [("missing", 404), ("broken", 500)])
@asynchronous
async def test_errors_are_json_and_the_connection_goes_on(path: str, status: int) -> None:
    async with world() as served:
        client = Client(served.listening.port)
        for prefix in ("/", "/quick/"):
            response = await client.request("POST", prefix + path, b"x", timeout_seconds=5)
            assert (response.status, {"error", "code"} <= json.loads(response.body).keys()) == (status, True)
        client.close()


@pytest.mark.parametrize("path", [b"/stream?1000", b"/large"])
@asynchronous
async def test_a_caller_that_does_not_read_its_answer_is_dropped(path: bytes) -> None:
    async with world(window_seconds=0.2) as served:
        reader, writer = await served.connect()
        writer.write(b"GET %s HTTP/1.1\r\n\r\nGET %s HTTP/1.1\r\n\r\n" % (path, path))
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: not served.listening.shell.connections, "the server to close the connection")
        assert await idle(served)
        writer.close()


@asynchronous
async def test_a_caller_that_reads_slowly_but_surely_is_not_dropped() -> None:
    async with world(window_seconds=0.2) as served:
        reader, writer = await served.connect()
        writer.write(b"GET /stream?300 HTTP/1.1\r\nconnection: close\r\n\r\n")
        began = asyncio.get_running_loop().time()
        size = 0
        while chunk := await reader.read(1 << 20):
            size += len(chunk)
            # At the pace of a slow network: several windows for the whole answer.
            await asyncio.sleep(0.04)
        assert size > 300 * 100_000
        assert asyncio.get_running_loop().time() - began > 0.6
        writer.close()


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


PIECES = st.sampled_from(
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"POST /quick HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /quick HTTP/1.0\r\ncontent-length: 3\r\n\r\n",
        b"POST /quick/held HTTP/1.1\r\ncontent-length: 1\r\n\r\nx",
        b"POST /quick HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5000\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        b"CONNECT host:1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n",
        b"HEAD ",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=12), max_size=8), st.lists(st.integers(1, 60), max_size=10))
def test_no_bytes_in_no_pieces_leave_anything_behind(pieces: list[bytes], cuts: list[int]) -> None:
    async def play() -> None:
        shell = Shell(QuickEcho())
        connection, wire = shell.connection(), Wire()
        connection.connection_made(cast(asyncio.Transport, wire))
        data = b"".join(pieces)
        for cut in [*cuts, len(data)]:
            connection.data_received(data[:cut])
            data = data[cut:]
            await asyncio.sleep(0)
        connection.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)
        assert wire.written == b"" or wire.written.startswith(b"HTTP/1.1 ")
        assert (shell.in_flight, shell.arriving, shell.held_bytes) == (0, 0, 0)
        await shell.close(0)

    asyncio.run(play())
