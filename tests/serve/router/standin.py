"""A router in a process of its own, between a caller and members that do as each test says."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from argosy.runtime.protocol import AttemptId, AttemptSpec, Ended, EntryCall, Reported, RuntimeEvent
from argosy.serve.http.client import Client, Response

from ..harness import until  # noqa: TID252
from ..process_runner import Runner  # noqa: TID252

ATTEMPT = AttemptId("service-router-test")


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def member(self) -> str:
        return self.path.split("/")[3].partition(":")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Told:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Hangup(Exception):
    """The connection is cut instead of an answer."""


AnyProcess = TypeVar("AnyProcess", bound="RouterProcess")
Serve = Callable[[Asked], Told | Awaitable[Told]]


class Members:
    """Everything behind the router's socket."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.asked: list[Asked] = []
        self.under_way = 0
        self.most_under_way = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await _read(reader)
                writer.write(await self._answer(asked))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, Hangup):
            pass
        finally:
            writer.close()

    async def _answer(self, asked: Asked) -> bytes:
        self.asked.append(asked)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answered = self.serve(asked)
            told = await answered if inspect.isawaitable(answered) else answered
        finally:
            self.under_way -= 1
        assert isinstance(told, Told)
        body = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
        lines = [f"HTTP/1.1 {told.status} Told", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in told.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    method, path, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, body)


class RouterProcess:
    def __init__(self, runner: Runner, events: list[RuntimeEvent], port: int, members: Members) -> None:
        self.runner = runner
        self.events = events
        self.port = port
        self.members = members
        self.client = Client(port)

    async def ask(self, method: str, path: str, body: Any = b"", **headers: str) -> Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        extra = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
        return await self.client.request(method, path, content, timeout_seconds=30, headers=extra)

    async def predict(self, body: Any, query: str = "", **headers: str) -> Response:
        return await self.ask("POST", f"/v1/models/s:predict{query}", body, **headers)

    @property
    def pid(self) -> int:
        return next(iter(self.runner._running.values())).pid

    @property
    def peak_bytes(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the process has no peak")


@asynccontextmanager
async def process(
    folder: Path, module: str, payload: dict[str, Any], members: Members, kind: type[AnyProcess]
) -> AsyncIterator[AnyProcess]:
    """``main`` of a module of the router, once it listens or has ended."""
    runner = Runner()
    events: list[RuntimeEvent] = []
    runner.listener = events.append
    call = EntryCall(f"argosy.serve.router.{module}", "main", payload)
    runner.launch(AttemptSpec(ATTEMPT, 1, call, str(folder), str(folder / f"{module}.{{rank}}.log")))
    try:
        await until(
            lambda: any(isinstance(one, Reported | Ended) for one in events), f"the {module} to listen"
        )
        ports = [one.body["port"] for one in events if isinstance(one, Reported) and one.kind == "listening"]
        started = kind(runner, events, ports[0] if ports else 0, members)
        yield started
        started.client.close()
    finally:
        await runner.close()


@asynccontextmanager
async def standing(folder: Path, serve: Serve) -> AsyncIterator[Members]:
    """Members behind the socket ``gateway``."""
    members = Members(serve)
    server = await asyncio.start_unix_server(members.connected, folder / "gateway", limit=2**26)
    try:
        yield members
    finally:
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


@asynccontextmanager
async def router(
    folder: Path, serve: Serve, members: tuple[str, ...] = ("s.a", "s.b", "s.c"), **spec: Any
) -> AsyncIterator[RouterProcess]:
    """``spec`` is what else of RouterSpec is not as usual."""
    async with standing(folder, serve) as behind:
        payload = {"service": "s", "members": members, "aggregate": "mean", "authority": "r1.s"}
        payload |= {"socket": str(folder / "gateway"), **spec}
        async with process(folder, "router", payload, behind, RouterProcess) as started:
            yield started


def failure(process: RouterProcess) -> str:
    """Why the process ended, as it told."""
    return next(one.outcome.message for one in process.events if isinstance(one, Ended))


def source(folder: Path, text: str, function: str = "f", digest: str = "d1") -> dict[str, Any]:
    """A stored snapshot with one module; what of RouterSpec points to its function."""
    root = folder / "sources" / digest
    root.mkdir(parents=True, exist_ok=True)
    (root / "mine.py").write_text(text)
    return {"source": digest, "module": "mine", "function": function}
