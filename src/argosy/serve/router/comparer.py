"""The comparer: what a shadowed request is copied to. It asks both revisions, and tells how they differ."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from argosy import reporting
from argosy.errors import TooLarge
from argosy.serve.http import server
from argosy.serve.http.client import Client, RequestFailed
from argosy.serve.http.server import Answer, Headers, Request
from argosy.serve.router.comparing import Tally, add, compare
from argosy.serve.router.ensemble import BINARY, BODY_BYTES
from argosy.serve.router.members import trace_of
from argosy.serve.router.quorum import Failure, Outcome
from argosy.serve.specs import ComparerSpec

# Copies that wait beyond these are dropped, and counted: comparing must not slow down what serves.
WAITING = 64
WAITING_BYTES = 64 * 2**20
COMPARING = 4
ANSWER_SECONDS = 30.0
REPORT_SECONDS = 1.0
CLOSING_SECONDS = 10.0
_PREDICTIONS = (":predict", "/infer")


@dataclass(frozen=True, slots=True)
class Copy:
    path: str
    body: bytes
    headers: Headers


class Comparer:
    """Answers every copy at once; nobody waits for what it finds."""

    def __init__(self, spec: ComparerSpec) -> None:
        self._clients = tuple(Client(spec.socket, authority) for authority in spec.authorities)
        self._metrics = _Metrics(spec)
        self._tally = Tally()
        self._told = Tally()
        self._waiting: deque[Copy] = deque()
        self._waiting_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_report: asyncio.TimerHandle | None = None

    async def answer(self, request: Request) -> Answer:
        if request.method == "GET" and request.path == "/metrics":
            return Answer(200, self._metrics.text(), ((b"content-type", b"text/plain; version=0.0.4"),))
        if request.method != "POST" or not request.path.endswith(_PREDICTIONS):
            raise server.not_found(request)
        if len(self._waiting) >= WAITING or self._waiting_bytes >= WAITING_BYTES:
            return self._drop("the comparer is behind")
        try:
            body = await request.body(BODY_BYTES)
        except TooLarge as error:
            return self._drop(error.message)
        self._take(Copy(_target(request), body, _headers(request)))
        return Answer(202, b'{"compared":"later"}')

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await asyncio.gather(*self._tasks)
        if self._next_report is not None:
            self._next_report.cancel()
        self._report()
        for client in self._clients:
            client.close()

    def _drop(self, reason: str) -> Answer:
        self._metrics.dropped()
        return Answer(202, msgspec.json.encode({"compared": "never", "reason": reason}))

    def _take(self, copy: Copy) -> None:
        self._waiting.append(copy)
        self._waiting_bytes += len(copy.body)
        if len(self._tasks) < COMPARING:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while self._waiting:
            copy = self._waiting.popleft()
            self._waiting_bytes -= len(copy.body)
            serving, shadow = await asyncio.gather(*(self._ask(side, copy) for side in (0, 1)))
            compared = compare(serving, shadow, is_v2=copy.path.startswith("/v2/"))
            self._tally = add(self._tally, compared)
            self._metrics.compared(compared.instances, compared.agreements, bool(compared.failure))
            self._report_soon()

    async def _ask(self, side: int, copy: Copy) -> Outcome:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            return await self._clients[side].request(
                "POST", copy.path, copy.body, timeout_seconds=ANSWER_SECONDS, headers=copy.headers
            )
        except RequestFailed as error:
            return Failure(str(error))
        finally:
            self._metrics.answered(side, loop.time() - started)

    def _report_soon(self) -> None:
        """At once when the last report is long ago; else one timer for all that comes until then."""
        if self._next_report is None:
            self._report()
            self._next_report = asyncio.get_running_loop().call_later(REPORT_SECONDS, self._report_late)

    def _report_late(self) -> None:
        self._next_report = None
        if self._told != self._tally:
            self._report_soon()

    def _report(self) -> None:
        if self._told != self._tally:
            self._told = self._tally
            reporting.current().report("comparison", self._tally.view())


class _Metrics:
    def __init__(self, spec: ComparerSpec) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = CollectorRegistry()
        serving, shadow = spec.revisions
        named = {"service": spec.service, "serving": str(serving), "shadow": str(shadow)}

        def counter(name: str, text: str) -> Any:
            return Counter(f"argosy_comparison_{name}", text, list(named), registry=self._registry).labels(
                **named
            )

        self._requests = counter("requests", "Copied requests that were compared")
        self._failures = counter("failures", "Requests that the shadow alone did not answer")
        self._dropped = counter("dropped", "Copied requests that came faster than they could be compared")
        self._instances = counter("instances", "Instances that both revisions answered")
        self._agreements = counter("agreements", "Instances whose best class is the same")
        seconds = Histogram(
            "argosy_comparison_answer_seconds",
            "How long each revision took to answer",
            ["service", "revision"],
            registry=self._registry,
        )
        self._seconds = [seconds.labels(spec.service, str(revision)) for revision in spec.revisions]

    def text(self) -> bytes:
        from prometheus_client import generate_latest

        return bytes(generate_latest(self._registry))

    def dropped(self) -> None:
        self._dropped.inc()

    def compared(self, instances: int, agreements: int, is_failure: bool) -> None:
        self._requests.inc()
        self._instances.inc(instances)
        self._agreements.inc(agreements)
        self._failures.inc(int(is_failure))

    def answered(self, side: int, seconds: float) -> None:
        self._seconds[side].observe(seconds)


def _target(request: Request) -> str:
    query = request.query.decode("latin-1")
    return f"{request.path}?{query}" if query else request.path


def _headers(request: Request) -> Headers:
    kept = ((name, request.header(name)) for name in (b"content-type", b"content-encoding", BINARY))
    return (*trace_of(request), *((name, value) for name, value in kept if value is not None))


def main(payload: dict[str, Any]) -> None:
    """Entry of the process; returns once drained."""
    spec = msgspec.convert(payload, ComparerSpec)
    server.serve(lambda: Comparer(spec))
