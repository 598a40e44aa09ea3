"""A replica among callers that speak in bytes: each is answered or closed, and others never notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from argosy.serve.http.client import Client

from .calm_model import MODULE
from .harness import asynchronous, until
from .http_world import post, read_answer
from .raw_sockets import HIDDEN, PATH, SMUGGLING, exchange, request, reset, statuses, until_closed
from .replicas import Replica, replica

pytestmark = pytest.mark.slow

GOOD = b'{"instances": [[1, 2]]}'
LARGE = json.dumps({"instances": [[1, 2]] * 50_000}).encode()
# A caller that moves nothing is cut off after a window of 10 seconds, within one more second.
WINDOW_SECONDS = 20.0


@asynccontextmanager
async def good_callers(served: Replica) -> AsyncIterator[None]:
    """Callers that ask all the while, and must be answered each time."""
    ended = asyncio.Event()
    answered = 0

    async def call() -> None:
        nonlocal answered
        client = Client(served.port)
        while not ended.is_set():
            response = await client.request("POST", PATH.decode(), GOOD, timeout_seconds=10)
            assert response.status == 200
            answered += 1
            await asyncio.sleep(0.01)
        client.close()

    calls = [asyncio.create_task(call()) for _ in range(2)]
    await until(lambda: answered > 2, "the first answers")
    try:
        yield
        more = answered + 2
        await until(lambda: answered > more or any(one.done() for one in calls), "more answers")
    finally:
        ended.set()
        await asyncio.gather(*calls)


@asynchronous
async def test_no_request_is_hidden_behind_another(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served, good_callers(served):
        for name, data in SMUGGLING.items():
            answer = await exchange(served.port, data + HIDDEN)
            assert statuses(answer) == [b"400"], (name, answer)


@asynchronous
async def test_slow_callers_of_every_kind_are_cut_off_while_others_are_answered(tmp_path: Path) -> None:
    beginnings = {
        "nothing but a method": b"POST ",
        "a head that does not end": request(b"content-length: 3")[:-2],
        "a body that does not come": request(b"content-length: 3"),
        "a body that is half there": post(PATH, GOOD)[:-5],
        "chunks that do not end": request(b"transfer-encoding: chunked", body=b"3\r\nabc\r\n"),
    }

    async with replica(tmp_path, tmp_path, module=MODULE) as served, good_callers(served):

        async def silent(name: str, beginning: bytes) -> None:
            answer = await exchange(served.port, beginning, WINDOW_SECONDS)
            assert answer.startswith(b"HTTP/1.1 408 "), (name, answer)

        async def trickling(beginning: bytes, piece: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(beginning)
            closed = asyncio.create_task(until_closed(reader))
            async with asyncio.timeout(WINDOW_SECONDS):
                while not closed.done():
                    writer.write(piece)
                    await asyncio.wait([closed], timeout=0.2)
            assert (await closed).startswith(b"HTTP/1.1 408 "), piece
            writer.close()

        async def deaf() -> None:
            """Asks for much and reads nothing."""
            _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
            writer.write(post(PATH, LARGE) * 20)
            async with asyncio.timeout(WINDOW_SECONDS):
                with suppress(ConnectionError):
                    await writer.drain()
                    await writer.wait_closed()
            writer.close()

        callers = [silent(name, data) for name, data in beginnings.items() for _ in range(20)]
        callers += [
            deaf(),
            trickling(request()[:-2], b"a: b\r\n"),
            trickling(request(b"content-length: 100000"), b" "),
            trickling(request(b"transfer-encoding: chunked"), b"1\r\n \r\n"),
        ]
        await asyncio.gather(*callers)


@asynchronous
async def test_ten_thousand_requests_in_one_piece_are_answered_in_order(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served, good_callers(served):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(PATH, GOOD) * 9_999 + HIDDEN)
        assert statuses(await until_closed(reader)) == [b"200"] * 10_000
        writer.close()


@asynchronous
async def test_callers_that_reset_or_close_their_half_leave_nothing_behind(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served, good_callers(served):

        async def reset_in_answer() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(post(PATH, LARGE))
            await reader.readexactly(10)
            reset(writer)

        async def reset_in_request() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(post(PATH, LARGE)[:-10])
            await writer.drain()
            reset(writer)

        async def half_closed(data: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(10):
                await until_closed(reader)
            writer.close()

        callers = [caller() for caller in (reset_in_answer, reset_in_request) for _ in range(10)]
        halves = (post(PATH, GOOD), post(PATH, GOOD)[:-3], b"POST ", b"")
        await asyncio.gather(*callers, *(half_closed(data) for data in halves))
        metrics = (await served.ask("GET", "/metrics")).body.decode()
        assert "argosy_queue_requests" in metrics
    assert "Traceback" not in served.log.read_text()


@asynchronous
async def test_floods_of_headers_and_of_connections_are_refused(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served, good_callers(served):
        for flood in (b"a: b\r\n" * 100_000, b"a: " + b"b" * 2_000_000):
            answer = await exchange(served.port, request()[:-2] + flood)
            assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]
        writers = [(await asyncio.open_connection("127.0.0.1", served.port))[1] for _ in range(1000)]
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(PATH, GOOD))
        assert (await read_answer(reader))[0] == 200
        for one in (*writers, writer):
            one.close()
