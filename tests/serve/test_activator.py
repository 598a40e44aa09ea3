"""The activator on a real socket, with servers that answer as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from argosy.serve.activator.activator import Activator
from argosy.serve.activator.core import Limits, Supply
from argosy.serve.http.client import Client, RequestFailed, Response
from argosy.serve.http.server import listen

from .harness import asynchronous, until

CLUSTER = ((b"x-argosy-cluster", b"fashion.r1.cnn"),)


@dataclass
class Echo:
    """Answers with what it was asked; ``hold`` keeps it from that, ``hang_up`` makes it close instead."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    hang_up: bool = False
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: list[asyncio.Task[None] | None] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.tasks.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
                body = await reader.readexactly(size)
                self.asked.append(head.partition("\r\n")[0])
                if self.hang_up:
                    break
                await self.hold.wait()
                answer = json.dumps({"head": head, "body": body.decode()}).encode()
                writer.write(b"HTTP/1.1 207 Multi\r\nx-mine: 1\r\nconnection: keep-alive\r\n")
                writer.write(b"content-length: %d\r\n\r\n%b" % (len(answer), answer))
        writer.close()


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    made = Echo()
    made.hold.set()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.hold.set()
        for writer in made.writers:
            writer.close()
        await asyncio.gather(*(task for task in made.tasks if task), return_exceptions=True)


@dataclass
class Hall:
    activator: Activator
    address: str
    demands: list[str]

    async def ask(self, path: str = "/v1/models/fashion:predict", body: bytes = b"{}") -> Response:
        client = Client(self.address)
        try:
            return await client.request("POST", path, body, timeout_seconds=20, headers=CLUSTER)
        finally:
            client.close()

    def supply(self, *ports: int, capacity: int = 8, trouble: str = "it is still starting") -> None:
        self.activator.supply({"fashion.r1.cnn": Supply(ports, capacity, "" if ports else trouble)})

    async def waiting(self, count: int) -> None:
        await until(lambda: self.activator.waiting("fashion.r1.cnn") == count, f"{count} to wait")


@asynccontextmanager
async def hall(root: Path, limits: Limits | None = None) -> AsyncIterator[Hall]:
    demands: list[str] = []
    activator = Activator(demands.append, limits)
    address = str(root / "activator.sock")
    listening = await listen(activator, address)
    try:
        yield Hall(activator, address, demands)
    finally:
        await activator.close()
        await listening.close()
        assert not Path(address).exists()


@asynchronous
async def test_a_request_waits_for_a_replica_and_its_answer_comes_back_whole(tmp_path: Path) -> None:
    async with hall(tmp_path) as made, echo() as replica:
        made.supply()
        asked = asyncio.create_task(made.ask("/v1/models/fashion:predict?x=%2F1", b'{"instances":[]}'))
        await made.waiting(1)
        assert made.demands == ["fashion.r1.cnn"]
        made.supply(replica.port)
        answer = await asked
        seen = json.loads(answer.body)
        assert (answer.status, answer.headers[b"x-mine"]) == (207, b"1")
        assert replica.asked == ["POST /v1/models/fashion:predict?x=%2F1 HTTP/1.1"]
        assert seen["body"] == '{"instances":[]}'
        assert "x-argosy-cluster" not in seen["head"]
        await made.waiting(0)


@asynchronous
async def test_a_request_that_comes_when_a_replica_is_there_is_sent_on_with_its_body(tmp_path: Path) -> None:
    async with hall(tmp_path) as made, echo() as replica:
        made.supply(replica.port)
        assert json.loads((await made.ask(body=b"abc")).body)["body"] == "abc"
        assert made.demands == []


@asynchronous
async def test_a_replica_that_hangs_up_costs_no_answer(tmp_path: Path) -> None:
    async with hall(tmp_path) as made, echo() as broken, echo() as good:
        broken.hang_up = True
        made.supply(broken.port, good.port)
        answers = await asyncio.gather(*(made.ask(body=b"%d" % number) for number in range(4)))
        assert sorted(json.loads(one.body)["body"] for one in answers) == ["0", "1", "2", "3"]
        assert broken.asked


@asynchronous
async def test_no_replica_gets_more_than_it_can_take(tmp_path: Path) -> None:
    async with hall(tmp_path) as made, echo() as first, echo() as second:
        first.hold.clear()
        second.hold.clear()
        made.supply(first.port, second.port, capacity=2)
        asked = [asyncio.create_task(made.ask()) for _ in range(7)]
        await until(lambda: len(first.asked) == len(second.asked) == 2, "four to be sent")
        await made.waiting(7)
        assert (len(first.asked), len(second.asked)) == (2, 2)
        first.hold.set()
        second.hold.set()
        assert {one.status for one in await asyncio.gather(*asked)} == {207}


@asynchronous
async def test_more_than_may_wait_are_refused_at_once(tmp_path: Path) -> None:
    async with hall(tmp_path, Limits(requests=2, body_bytes=10)) as made, echo() as replica:
        made.supply()
        large = await made.ask(body=bytes(11))
        assert (large.status, large.headers[b"retry-after"]) == (503, b"1")
        asked = [asyncio.create_task(made.ask()) for _ in range(2)]
        await made.waiting(2)
        refused = await made.ask()
        assert (refused.status, refused.headers[b"retry-after"]) == (429, b"1")
        assert json.loads(refused.body)["code"] == "overloaded"
        made.supply(replica.port)
        assert {one.status for one in await asyncio.gather(*asked)} == {207}


@asynchronous
async def test_who_waits_too_long_is_told_why(tmp_path: Path) -> None:
    async with hall(tmp_path, Limits(wait_seconds=0.1)) as made:
        made.supply(trouble="model 'cnn' does not start: model.onnx is damaged")
        answer = await made.ask()
        assert answer.status == 503
        assert json.loads(answer.body) == {
            "error": "no replica took it within 0.1 s: model 'cnn' does not start: model.onnx is damaged",
            "code": "unavailable",
            "hint": "send the request again after 5 s",
        }


@asynchronous
async def test_a_caller_who_leaves_waits_no_longer(tmp_path: Path) -> None:
    async with hall(tmp_path) as made, echo() as replica:
        made.supply()
        client = Client(made.address)
        with contextlib.suppress(RequestFailed):
            await client.request("POST", "/x", b"{}", timeout_seconds=0.1, headers=CLUSTER)
        await made.waiting(0)
        made.supply(replica.port)
        assert (await made.ask("/y")).status == 207
        assert [one.split()[1] for one in replica.asked] == ["/y"]


@asynchronous
async def test_it_says_that_it_is_there_and_what_it_does_not_know(tmp_path: Path) -> None:
    async with hall(tmp_path) as made:
        client = Client(made.address)
        assert (await client.request("GET", "/readyz", timeout_seconds=5)).status == 200
        assert (await client.request("GET", "/v1/models/x", timeout_seconds=5)).status == 404
        client.close()
        assert (await made.ask()).status == 503
