"""Model servers in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from argosy.runtime.protocol import AttemptId, AttemptSpec, Ended, EntryCall, Reported, RuntimeEvent
from argosy.serve.http.client import Client, Response

from .harness import until
from .process_runner import Runner

ATTEMPT = AttemptId("service-test")


class Replica:
    def __init__(self, runner: Runner, report: dict[str, Any], events: list[RuntimeEvent], log: Path) -> None:
        self.runner = runner
        self.port: int = report.get("port", 0)
        self.grpc_port: int = report.get("grpc_port", 0)
        self.client = Client(self.port)
        self.events = events
        self.log = log

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        extra = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
        return await self.client.request(method, path, body, timeout_seconds=20, headers=extra)

    async def in_flight(self, count: int) -> None:
        """Returns once this many inference requests have no answer yet."""
        client = Client(self.port)
        deadline = asyncio.get_running_loop().time() + 20
        found = -1
        while found != count:
            assert asyncio.get_running_loop().time() < deadline, f"{found} in flight, not {count}"
            text = (await client.request("GET", "/metrics", timeout_seconds=20)).body.decode()
            found = int(text.split("\nargosy_in_flight_requests{")[1].split()[1])
        client.close()

    async def ended(self) -> Ended:
        return await until(
            lambda: next((one for one in self.events if isinstance(one, Ended)), None), "the replica to end"
        )


@asynccontextmanager
async def replica(
    directory: Path,
    logs: Path,
    *,
    module: str = "argosy.serve.model_server.replica",
    **payload: Any,
) -> AsyncIterator[Replica]:
    """``module`` has the ``main`` that is called with the payload of a ReplicaSpec."""
    runner = Runner()
    events: list[RuntimeEvent] = []
    runner.listener = events.append
    call = EntryCall(
        module, "main", {"directory": str(directory), "names": ["digits", "digits.linear"], **payload}
    )
    runner.launch(AttemptSpec(ATTEMPT, 1, call, str(logs), str(logs / "replica.{rank}.log")))
    try:
        await until(lambda: any(isinstance(one, Reported | Ended) for one in events), "the replica to listen")
        reports = [one.body for one in events if isinstance(one, Reported) and one.kind == "listening"]
        started = Replica(runner, dict(reports[0]) if reports else {}, events, logs / "replica.0.log")
        yield started
        started.client.close()
    finally:
        await runner.close()
