"""Real processes for attempts, without the runtime: forked where the libraries are imported already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from argosy import reporting
from argosy.errors import ArgosyError
from argosy.runtime.protocol import (
    AttemptId,
    AttemptSpec,
    Cause,
    Ended,
    EntryCall,
    Outcome,
    Program,
    Reported,
    RuntimeEvent,
    Started,
)

from .harness import until

# The children import this module by the name it has here.
sys.path.extend({str(Path(__file__).parents[__name__.count(".")])} - set(sys.path))

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["onnxruntime", "argosy.serve.model_server.replica"])


class Runner:
    """Implements the Processes of the serve room; ``listener`` may change as control planes come and go."""

    def __init__(self) -> None:
        self.listener: Callable[[RuntimeEvent], None] = lambda event: None
        self.launched: list[AttemptSpec] = []
        self._loop = asyncio.get_running_loop()
        self._running: dict[AttemptId, _Running] = {}
        self._unacknowledged: dict[tuple[AttemptId, int], Ended] = {}
        self._cause: dict[AttemptId, tuple[Cause, str]] = {}

    def launch(self, spec: AttemptSpec) -> None:
        self.launched.append(spec)
        assert spec.attempt not in self._running, f"{spec.attempt} runs already"
        running = _Entry(spec) if isinstance(spec.call, EntryCall) else _Program(spec)
        self._running[spec.attempt] = running
        self._loop.add_reader(running.end, self._ended, running)
        if isinstance(running, _Entry):
            self._loop.add_reader(running.reports.fileno(), self._reported, running)
        processes = ((running.pid, 0),)
        self._loop.call_soon(self._tell, Started(spec.attempt, spec.token, processes, time.time()))

    def stop(self, attempt: AttemptId, cause: Cause, message: str = "") -> None:
        if attempt in self._running:
            self._cause[attempt] = (cause, message)
            self.kill(attempt, signal.SIGTERM)

    def acknowledge(self, attempt: AttemptId, token: int) -> None:
        self._unacknowledged.pop((attempt, token), None)

    def kill(self, attempt: AttemptId, number: int = signal.SIGKILL) -> None:
        os.kill(self._running[attempt].pid, number)

    @property
    def alive(self) -> frozenset[tuple[AttemptId, int]]:
        return frozenset((one.spec.attempt, one.spec.token) for one in self._running.values())

    @property
    def unacknowledged(self) -> list[Ended]:
        return list(self._unacknowledged.values())

    async def close(self) -> None:
        """Ends everything, at once."""
        self.listener = lambda event: None
        for running in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)
        await until(lambda: not self._running, "every process to end")

    def _tell(self, event: RuntimeEvent) -> None:
        self.listener(event)

    def _reported(self, running: _Entry) -> None:
        try:
            kind, body = running.reports.recv()
        except (EOFError, OSError):
            self._loop.remove_reader(running.reports.fileno())
            return
        if kind == "failed":
            running.failure = body["message"]
            return
        spec = running.spec
        self._tell(Reported(spec.attempt, spec.token, 0, kind, body, time.time()))

    def _ended(self, running: _Running) -> None:
        self._loop.remove_reader(running.end)
        if isinstance(running, _Entry):
            while running.reports.poll() and not running.reports.closed:
                try:
                    kind, body = running.reports.recv()
                except (EOFError, OSError):
                    break
                running.failure = body["message"] if kind == "failed" else running.failure
            self._loop.remove_reader(running.reports.fileno())
        code = running.finish()
        spec = running.spec
        del self._running[spec.attempt]
        cause, message = self._cause.pop(spec.attempt, (Cause.SUCCEEDED if code == 0 else Cause.EXIT, ""))
        if running.failure:
            cause, message = Cause.ERROR, running.failure
        number = -code if code < 0 else None
        outcome = Outcome(cause, message, exit_code=code if code >= 0 else None, signal=number)
        event = Ended(spec.attempt, spec.token, outcome, time.time())
        self._unacknowledged[spec.attempt, spec.token] = event
        self._tell(event)


class _Running:
    spec: AttemptSpec
    pid: int
    end: int
    failure: str = ""

    def finish(self) -> int:
        raise NotImplementedError


class _Entry(_Running):
    def __init__(self, spec: AttemptSpec) -> None:
        self.spec = spec
        assert isinstance(spec.call, EntryCall)
        self.reports, theirs = _CONTEXT.Pipe(duplex=False)
        call = spec.call
        self._process = _CONTEXT.Process(
            target=run_entry, args=(theirs, call.module, call.function, call.payload, spec.log), daemon=True
        )
        self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.end = self._process.sentinel

    def finish(self) -> int:
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        self._process.close()
        self.reports.close()
        return code


class _Program(_Running):
    def __init__(self, spec: AttemptSpec) -> None:
        self.spec = spec
        assert isinstance(spec.call, Program)
        log = Path(spec.log.format(rank=0))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(spec.call.argv, stdout=output, stderr=output)
        self.pid = self._process.pid
        self.end = os.pidfd_open(self.pid)

    def finish(self) -> int:
        os.close(self.end)
        return self._process.wait()


def run_entry(reports: Connection, module: str, function: str, payload: dict[str, Any], log: str) -> None:
    """In the child."""
    file = Path(log.format(rank=0))
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)

    def report(kind: str, body: Mapping[str, Any]) -> None:
        reports.send((kind, dict(body)))

    reporting.install(reporting.CurrentAttempt(report=report))
    try:
        getattr(importlib.import_module(module), function)(payload)
    except ArgosyError as error:
        report("failed", {"message": error.message})
        raise SystemExit(1) from None
