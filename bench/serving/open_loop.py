"""Open-loop load: requests leave when their time has come, whether or not earlier ones were answered.

``python -m serving.open_loop PLAN RESULTS`` runs in a process of its own: it reads a plan as JSON and writes
what became of each request as arrays. Latency counts from the moment a request was due. A free connection is
used again; where none is free another is opened, up to the plan's most, beyond which a request is not sent.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httptools
import msgspec
import numpy as np
from numpy.typing import NDArray

NO_ANSWER, NOT_SENT = 0, -1
TICK_SECONDS = 0.001
GRACE_SECONDS = 15.0

Floats = NDArray[np.float64]


class Plan(msgspec.Struct, frozen=True):
    """``stages`` are (seconds, requests a second). ``bodies`` is a file of bodies, one a line."""

    url: str
    bodies: str
    stages: list[tuple[float, float]]
    headers: dict[str, str] = {}
    most_connections: int = 4096
    grace_seconds: float = GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of every request in the order they were due: when it was due (seconds from the start), its latency in
    seconds, its status (0: no answer came, -1: not sent for want of a connection), and how late the generator
    was itself."""

    due: Floats
    latency: Floats
    status: NDArray[np.int16]
    late: Floats
    stages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def accepted(self) -> NDArray[np.bool_]:
        return np.asarray(self.status == 200)

    @property
    def refused(self) -> NDArray[np.bool_]:
        return np.asarray((self.status == 429) | (self.status == 503))

    @property
    def failed(self) -> int:
        """Neither answered nor refused."""
        return int(np.sum(~self.accepted & ~self.refused))

    def stage(self, number: int) -> Outcome:
        """The requests that were due in one stage."""
        start = sum(seconds for seconds, _ in self.stages[:number])
        within = (self.due >= start) & (self.due < start + self.stages[number][0])
        late = self.late[within]
        return Outcome(
            self.due[within], self.latency[within], self.status[within], late, [self.stages[number]]
        )

    def goodput(self) -> float:
        """Accepted requests a second of the stages' time."""
        return float(np.sum(self.accepted)) / sum(seconds for seconds, _ in self.stages)


def milliseconds(latencies: Floats, percent: float) -> float:
    """A percentile; NaN of nothing."""
    return float(np.percentile(latencies, percent)) * 1000 if len(latencies) else float("nan")


def due_times(stages: Sequence[tuple[float, float]]) -> Floats:
    """When each request is due: arrivals of a Poisson process, the same for the same stages."""
    random, start, times = np.random.default_rng(0), 0.0, []
    for seconds, rate in stages:
        count = random.poisson(seconds * rate)
        times.append(start + np.sort(random.uniform(0, seconds, count)))
        start += seconds
    return np.concatenate(times) if times else np.empty(0)


@contextmanager
def started(plan: Plan) -> Iterator[Running]:
    """The plan under way in a process of its own, which does not outlive the block."""
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as folder:
        running = Running(plan, Path(folder))
        try:
            yield running
        finally:
            running.stop()


class Running:
    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._results = folder / "results.npz"
        (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
        files = [str(folder / "plan.json"), str(self._results)]
        self._process = subprocess.Popen([sys.executable, "-m", "serving.open_loop", *files])

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def outcome(self) -> Outcome:
        """Waits for the end of the plan."""
        if self._process.wait():
            raise RuntimeError("the load generator failed")
        with np.load(self._results) as found:
            due, latency, status, late = (found[name] for name in ("due", "latency", "status", "late"))
            return Outcome(due, latency, status, late, list(self._plan.stages))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def run(plan: Plan) -> Outcome:
    with started(plan) as running:
        return running.outcome()


class _Connection(asyncio.Protocol):
    """One connection, one request on it at a time."""

    def __init__(self, generator: _Generator) -> None:
        self._generator = generator
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._number: int | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def send(self, number: int, request: bytes) -> None:
        self._number = number
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_message_complete(self) -> None:
        number, self._number = self._number, None
        if number is None:
            return
        keep = self._parser.should_keep_alive()
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        self._generator.answered(number, status)
        if keep:
            self._generator.free.append(self)
        else:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._generator.lost(self, self._number)


class _Generator:
    """Sends what is due, and keeps what became of it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        address = urllib.parse.urlsplit(plan.url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._requests = _requests(address, plan.headers, Path(plan.bodies).read_bytes().splitlines())
        self.due = due_times(plan.stages)
        self.latency = np.full(len(self.due), np.nan)
        self.late = np.zeros(len(self.due))
        self.status = np.full(len(self.due), NO_ANSWER, np.int16)
        self.free: list[_Connection] = []
        self._connections = 0
        self._open = 0
        self._quiet = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        self._start = time.perf_counter()
        number = 0
        while number < len(self.due):
            now = time.perf_counter() - self._start
            while number < len(self.due) and self.due[number] <= now:
                self.late[number] = now - self.due[number]
                self._dispatch(number)
                number += 1
            await asyncio.sleep(TICK_SECONDS)
        self._quiet.clear()
        if self._open:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), self._plan.grace_seconds)

    def _dispatch(self, number: int) -> None:
        while self.free:
            connection = self.free.pop()
            if not connection.closed:
                self._open += 1
                connection.send(number, self._requests[number % len(self._requests)])
                return
        if self._connections >= self._plan.most_connections:
            self.status[number] = NOT_SENT
            return
        self._connections += 1
        self._open += 1
        task = self._loop.create_task(self._connect(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, number: int) -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError:
            self._connections -= 1
            self._finished()
            return
        connection.send(number, self._requests[number % len(self._requests)])

    def answered(self, number: int, status: int) -> None:
        self.status[number] = status
        self.latency[number] = time.perf_counter() - self._start - self.due[number]
        self._finished()

    def lost(self, connection: _Connection, number: int | None) -> None:
        self._connections -= 1
        if number is not None:
            self._finished()
        if connection in self.free:
            self.free.remove(connection)

    def _finished(self) -> None:
        self._open -= 1
        if not self._open:
            self._quiet.set()


def _requests(
    address: urllib.parse.SplitResult, headers: Mapping[str, str], bodies: Sequence[bytes]
) -> list[bytes]:
    fixed = {"Host": address.netloc, "Content-Type": "application/json", **headers}
    head = f"POST {address.path} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in fixed.items()
    )
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


def main() -> None:
    import uvloop

    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)

    async def generate() -> _Generator:
        generator = _Generator(plan)
        await generator.run()
        return generator

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        done = runner.run(generate())
    np.savez(sys.argv[2], due=done.due, latency=done.latency, status=done.status, late=done.late)


if __name__ == "__main__":
    main()
