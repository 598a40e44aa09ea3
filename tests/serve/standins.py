"""A real Envoy between callers and stand-in replicas: small servers that say what they were asked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from argosy.home import Home
from argosy.runtime.protocol import Program
from argosy.serve.gateway.files import GatewayFiles, gateway_spec
from argosy.serve.gateway.topology import Topology
from argosy.serve.http.client import Client, RequestFailed, Response

from .stage import free_port

Headers = dict[str, str]

_ARRIVALS = itertools.count()


class Standin:
    """Answers every request with its own name and what it was asked; health checks with ``healthy``.

    While ``gate`` is not set, requests wait: ``waiting`` counts them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.healthy = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.begun = 0
        self.asked: list[tuple[str, str, Headers]] = []
        self.arrived: list[tuple[int, Headers]] = []
        self.before: Callable[[], Awaitable[None]] | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self, where: str | int = 0) -> Standin:
        if isinstance(where, str):
            self._server = await asyncio.start_unix_server(self._serve, where)
            return self
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", where)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def kill(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
                self.begun += "/readyz" not in first
                size = await _read_body(reader, headers)
                await self._answer(first, headers, size, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(
        self, first: str, headers: Headers, size: int, reader: asyncio.StreamReader, writer: Any
    ) -> None:
        method, path, _ = first.split(" ")
        if path == "/readyz":
            status = "200 OK" if self.healthy else "503 Service Unavailable"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
            return
        self.asked.append((method, path, headers))
        self.arrived.append((next(_ARRIVALS), headers))
        if self.before is not None:
            await self.before()
        await self._wait(reader)
        body = json.dumps({"name": self.name, "path": path, "headers": headers, "size": size}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        if self.gate.is_set():
            return
        self.waiting += 1
        gate = asyncio.ensure_future(self.gate.wait())
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((gate, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done() and not gone.result():
                raise ConnectionError
        finally:
            self.waiting -= 1
            gate.cancel()
            gone.cancel()
            await asyncio.gather(gate, gone, return_exceptions=True)


async def _read_body(reader: asyncio.StreamReader, headers: Headers) -> int:
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers.get("content-length", "0"))
        await reader.readexactly(length)
        return length
    size = 0
    while length := int((await reader.readline()).split(b";")[0], 16):
        await reader.readexactly(length + 2)
        size += length
    while (await reader.readline()).strip():
        pass
    return size


class Gateway:
    """Envoy with the files of a topology, and callers."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.run.mkdir(parents=True)
        self.files = GatewayFiles(self.home)
        self.port = free_port()
        self.standins: list[Standin] = []
        self.process: asyncio.subprocess.Process | None = None

    async def standin(self, name: str, where: str | int = 0) -> Standin:
        made = await Standin(name).start(where)
        self.standins.append(made)
        return made

    async def activator(self) -> Standin:
        return await self.standin("activator", self.files.paths.activator)

    async def start(self, topology: Topology) -> None:
        self.files.prepare()
        self.files.write(topology)
        self.files.write_bootstrap(self.port)
        call = gateway_spec(self.home, 1, self.files.bootstrap_file).call
        assert isinstance(call, Program)
        self.log = self.home.root / "envoy.log"
        with open(self.log, "w") as log:
            self.process = await asyncio.create_subprocess_exec(*call.argv, stdout=log, stderr=log)
        await self.reaches("/healthz", 200)

    async def reaches(self, path: str, status: int = 200, method: str = "GET", **more: Any) -> Response:
        """Waits until the answer has that status."""
        deadline = asyncio.get_running_loop().time() + 20
        while True:
            try:
                response = await self.ask(method, path, **more)
            except RequestFailed as error:
                response = Response(0, str(error).encode(), {})
            if response.status == status:
                return response
            assert asyncio.get_running_loop().time() < deadline, (response, self.log.read_text())
            await asyncio.sleep(0.02)

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Headers | None = None, host: str = "x"
    ) -> Response:
        return await _ask(Client(self.port, host), method, path, body, headers)

    async def inside(
        self, authority: str, method: str, path: str, body: bytes = b"", headers: Headers | None = None
    ) -> Response:
        return await _ask(Client(self.files.paths.internal_socket, authority), method, path, body, headers)

    async def admin(self, method: str, path: str) -> Response:
        return await _ask(Client(self.files.paths.admin_socket), method, path, b"", None)

    async def healthy(self, cluster: str, count: int) -> None:
        """Until Envoy has so many healthy endpoints of a cluster."""
        deadline = asyncio.get_running_loop().time() + 20
        while True:
            found = await self.admin("GET", f"/stats?filter=^cluster.{cluster}.membership_healthy$")
            if found.body.decode().strip().endswith(f": {count}"):
                return
            assert asyncio.get_running_loop().time() < deadline, found.body
            await asyncio.sleep(0.02)

    async def active(self, cluster: str, count: int) -> None:
        """Until so many requests to a cluster are under way."""
        deadline = asyncio.get_running_loop().time() + 20
        while True:
            found = await self.admin("GET", f"/stats?filter=^cluster.{cluster}.upstream_rq_active$")
            if found.body.decode().strip().endswith(f": {count}"):
                return
            assert asyncio.get_running_loop().time() < deadline, found.body
            await asyncio.sleep(0.01)

    def arrivals(self, header: str) -> list[str]:
        """The values of a header in the order in which the requests came to any stand-in."""
        found = sorted((time, headers) for one in self.standins for time, headers in one.arrived)
        return [headers[header] for _, headers in found]

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()
        for one in self.standins:
            one.gate.set()
            await one.kill()


async def _ask(client: Client, method: str, path: str, body: bytes, headers: Headers | None) -> Response:
    extra = tuple((name.encode(), value.encode()) for name, value in (headers or {}).items())
    try:
        return await client.request(method, path, body, timeout_seconds=20, headers=extra)
    finally:
        client.close()


def document(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.body)
    return found


async def names(gateway: Gateway, path: str, count: int, **more: Any) -> Counter[str]:
    """Who answered how many of so many requests."""
    counts: Counter[str] = Counter()
    for _ in range(count):
        counts[document(await gateway.ask("POST", path, **more))["name"]] += 1
    return counts


@asynccontextmanager
async def gateway(root: Path) -> AsyncIterator[Gateway]:
    made = Gateway(root / "home")
    try:
        yield made
    finally:
        await made.close()
