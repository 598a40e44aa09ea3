"""A control plane without an engine: the real HTTP application over runs that follow a script.

Run as ``python -m fake_control`` in place of ``argosy.control``. The workflow parameter ``outcome`` is the
script: ``succeed``, ``fail``, ``wide`` (a failed step of many), ``hang`` (until cancelled, or until the file
``release`` appears in the home), ``refuse``. ``FAKE_START`` makes the process itself
fail: ``die``, ``newer``, ``mute``. ``FAKE_VERSION`` is the version it says it is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from fake_serving import fake_api

from argosy import __version__
from argosy.api.codec import error_view
from argosy.api.process import Announcement, ControlProcess, announce, start_ticks, write_control_process
from argosy.api.views import (
    AttemptView,
    LogLine,
    NodeView,
    Progress,
    RunRequest,
    RunSummary,
    RunView,
    ShutdownRequest,
    ShutdownView,
    StatusView,
)
from argosy.control import answers
from argosy.control.http import create_app
from argosy.errors import Conflict, InvalidGraph, NotFound, Problem
from argosy.home import Home

HEARTBEAT_SECONDS = 0.05


class Record(msgspec.Struct):
    run: str
    workflow: str
    parameters: dict[str, Any]
    nodes: list[str]
    state: str
    created_at: float
    user: str


class FakeControl:
    def __init__(self, home: Home, stop: asyncio.Event) -> None:
        self._home = home
        self._stop = stop
        self._file = home.root / "fake.json"
        self._started_at = time.time()
        self.serving = fake_api(home)
        self._runs: dict[str, Record] = {}
        if self._file.exists():
            self._runs = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Record])

    def _save(self) -> None:
        self._file.write_bytes(msgspec.json.encode(self._runs))

    def _record(self, run: str) -> Record:
        if run not in self._runs:
            raise NotFound(f"there is no run {run!r}", hint="'argosy runs' lists them")
        return self._runs[run]

    async def submit(self, request: RunRequest) -> RunView:
        graph = request.graph
        parameters = graph["parameters"]
        outcome = parameters.get("outcome", "succeed")
        if outcome == "refuse":
            raise InvalidGraph([Problem("resources", "step 'big' asks for 999 cpu, and this machine has 2")])
        run = f"{graph['workflow']}-{len(self._runs) + 1:04d}"
        nodes = [node["id"] for node in graph["nodes"]]
        if outcome == "wide":
            nodes += [f"{nodes[-1]}[{index}]" for index in range(int(parameters.get("width", 1000)))]
        self._runs[run] = Record(
            run, graph["workflow"], parameters, nodes, "running", time.time(), request.user
        )
        self._save()
        return self._view(self._runs[run], started=False)

    async def run(self, run: str) -> RunView:
        return self._view(self._record(run), started=True)

    async def runs(self, limit: int) -> list[RunSummary]:
        newest = sorted(self._runs.values(), key=lambda record: record.run, reverse=True)
        return [self._summary(record) for record in newest[:limit]]

    def _summary(self, record: Record) -> RunSummary:
        view = self._view(record, started=True)
        states = [node.state for node in view.nodes]
        return RunSummary(
            record.run,
            record.workflow,
            record.state,
            record.created_at,
            view.ended_at,
            nodes=len(states),
            finished=sum(state not in ("waiting", "running") for state in states),
            cached=states.count("cached"),
            failed=states.count("failed"),
            user=record.user,
        )

    async def cancel(self, run: str) -> RunView:
        record = self._record(run)
        if record.state != "running":
            raise Conflict(f"run {run} is {record.state} already", hint="only a running run can be cancelled")
        record.state = "cancelled"
        self._save()
        return self._view(record, started=True)

    async def watch(self, run: str) -> AsyncIterator[RunView]:
        return self._watch(self._record(run))

    async def _watch(self, record: Record) -> AsyncIterator[RunView]:
        yield self._view(record, started=False)
        yield self._view(record, started=True)
        await self._until_over(record)
        yield self._view(record, started=True)

    async def _until_over(self, record: Record) -> None:
        outcome = record.parameters.get("outcome", "succeed")
        while record.state == "running":
            if outcome != "hang" or (self._home.root / "release").exists():
                record.state = "failed" if outcome in ("fail", "wide") else "succeeded"
                self._save()
                return
            await asyncio.sleep(0.005)

    async def logs(self, run: str, node: str | None, follow: bool) -> AsyncIterator[Sequence[LogLine]]:
        record = self._record(run)
        nodes = [node] if node else record.nodes
        if node and node not in record.nodes:
            raise NotFound(f"run {run} has no node {node!r}")
        return self._logs(record, nodes, follow)

    async def _logs(self, record: Record, nodes: list[str], follow: bool) -> AsyncIterator[Sequence[LogLine]]:
        yield [LogLine(node, f"{record.run}:{node}:1", 0, f"{node} begins") for node in nodes]
        if follow:
            await self._until_over(record)
        if record.state != "running":
            yield [LogLine(node, f"{record.run}:{node}:1", 0, f"{node} ends") for node in nodes]

    async def status(self) -> StatusView:
        active = sum(record.state == "running" for record in self._runs.values())
        gateway = "http://127.0.0.1:8080"
        return StatusView(
            __version__,
            str(self._home.root),
            os.getpid(),
            self._started_at,
            gateway,
            cpu_total=2.0,
            cpu_used=1.0,
            memory_total=4 * 2**30,
            memory_used=2**30,
            runs_active=active,
            services=len(await self.serving.services()),
        )

    async def shut_down(self, request: ShutdownRequest) -> ShutdownView:
        running = [record.run for record in self._runs.values() if record.state == "running"]
        self._stop.set()
        return ShutdownView(os.getpid(), [service.name for service in await self.serving.services()], running)

    def _view(self, record: Record, started: bool) -> RunView:
        over = record.state != "running"
        nodes = [self._node(record, index, started) for index in range(len(record.nodes))]
        return RunView(
            record.run,
            record.workflow,
            record.state,
            record.created_at,
            record.created_at + 1.5 if over else None,
            record.parameters,
            record.user,
            reason=f"{record.nodes[-1]} failed: ValueError: no such luck" if record.state == "failed" else "",
            nodes=nodes,
            output={"answer": 42} if record.state == "succeeded" else None,
        )

    def _node(self, record: Record, index: int, started: bool) -> NodeView:
        node, last, begun = record.nodes[index], index == len(record.nodes) - 1, record.created_at
        step = node.partition("[")[0].rstrip("0123456789-")
        attempt = f"{record.run}:{node}:1"
        if record.state == "running":
            if not started or index:
                return NodeView(
                    node, step, "step", "waiting", reason=f"waits for {record.nodes[0]}", created_at=begun
                )
            metrics = {"loss": 0.25, "accuracy": 0.875, "examples_per_second": 12345.0, "odd": float("nan")}
            return NodeView(
                node,
                step,
                "step",
                "running",
                created_at=begun,
                started_at=begun,
                progress=Progress(epoch=2, step=340, metrics=metrics),
                attempts=[AttemptView(attempt, 1, "running", 1, begun)],
            )
        state, ended = record.state, begun + 1.0
        if state == "failed" and not last:
            state = "succeeded"
        if state == "succeeded" and index == 1:
            memo = "equal code and inputs, 3m old"
            return NodeView(node, step, "step", "cached", memo=memo, created_at=begun, ended_at=begun)
        failed = state == "failed"
        message = "ValueError: no such luck" if failed else ""
        cause = {"failed": "error", "cancelled": "cancelled"}.get(state, "succeeded")
        one = AttemptView(attempt, 1, "ended", 1, begun, ended, cause, message, line=7 if failed else None)
        inline = {"type": "inline", "json": {"answer": 42}}
        return NodeView(
            node,
            step,
            "step",
            state,
            reason=message,
            memo="no earlier result",
            created_at=begun,
            started_at=begun,
            ended_at=ended,
            attempts=[one],
            output=inline if state == "succeeded" else None,
        )


def listen(home: Home) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(home.run, os.O_RDONLY | os.O_DIRECTORY)
    home.control_socket.unlink(missing_ok=True)
    listener.bind(f"/proc/self/fd/{folder}/{home.control_socket.name}")
    os.close(folder)
    listener.listen(64)
    return listener


async def serve(home: Home, ready_fd: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = create_app(FakeControl(home, stop), HEARTBEAT_SECONDS)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listen(home)]))
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    write_control_process(home, ControlProcess(os.getpid(), ticks, __version__, time.time()))
    announce(ready_fd, Announcement(ready=True))
    await stop.wait()
    app.state.streams.stop()
    server.should_exit = True
    await serving
    home.control_socket.unlink()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    arguments = parser.parse_args()
    home = Home(arguments.home)
    with (home.root / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    answers.__version__ = os.environ.get("FAKE_VERSION", __version__)
    match os.environ.get("FAKE_START", ""):
        case "die":
            sys.stderr.write("OSError: the sky is falling\n")
            return 3
        case "newer":
            newer = Conflict(
                f"the home {home.root} was written by a newer Argosy", hint="use that Argosy, or another home"
            )
            announce(arguments.ready_fd, Announcement(error=error_view(newer)))
            return 2
        case "mute":
            signal.pause()
    asyncio.run(serve(home, arguments.ready_fd))
    return 0


if __name__ == "__main__":
    sys.exit(main())
