"""A home with a real launcher, user code written on the spot, and a record of what the runtime said."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from argosy.artifacts.reference import Inline, Value
from argosy.artifacts.store import ArtifactStore
from argosy.home import Home
from argosy.runtime import linux, starting
from argosy.runtime.protocol import (
    AttemptId,
    AttemptSpec,
    Call,
    Ended,
    Reported,
    RuntimeEvent,
    Sampled,
    Started,
    StepCall,
)
from argosy.runtime.runtime import Runtime

PATIENCE_SECONDS = 30.0


class Watched:
    """A Runtime and all it has said."""

    def __init__(self, home: Home, *, acknowledge: bool = True) -> None:
        self.runtime = Runtime(home, self._on_event)
        self.events: list[RuntimeEvent] = []
        self._acknowledge = acknowledge
        self._news = asyncio.Event()

    def _on_event(self, event: RuntimeEvent) -> None:
        self.events.append(event)
        if self._acknowledge and isinstance(event, Ended):
            self.runtime.acknowledge(event.attempt, event.token)
        self._news.set()

    def of(self, kind: type[Any], attempt: str | None = None) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind) and attempt in (None, e.attempt)]

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for events until the condition holds; what it gave."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (result := condition()):
                self._news.clear()
                await self._news.wait()
            return result

    async def started(self, attempt: str) -> Started:
        found: list[Started] = await self.until(lambda: self.of(Started, attempt))
        return found[0]

    async def ended(self, attempt: str) -> Ended:
        found: list[Ended] = await self.until(lambda: self.of(Ended, attempt))
        return found[0]

    async def reported(self, attempt: str, kind: str) -> Reported:
        found: list[Reported] = await self.until(
            lambda: [e for e in self.of(Reported, attempt) if e.kind == kind]
        )
        return found[0]

    async def sampled(self, attempt: str, condition: Callable[[Sampled], bool]) -> Sampled:
        found: list[Sampled] = await self.until(
            lambda: [e for e in self.of(Sampled, attempt) if condition(e)]
        )
        return found[0]

    async def run(self, spec: AttemptSpec) -> Ended:
        self.runtime.launch(spec)
        return await self.ended(spec.attempt)


class World:
    """One temporary home."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.store = ArtifactStore(self.home.artifacts)
        self._number = 0

    def source(self, text: str, **modules: str) -> str:
        """Keep a snapshot of user code (module ``steps``, and others by name); its digest."""
        files = {"steps": text, **modules}
        files = {name: textwrap.dedent(body) for name, body in files.items()}
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        folder = self.home.sources / digest
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in files.items():
            (folder / f"{name}.py").write_text(body)
        return digest

    def spec(self, call: Call, **settings: Any) -> AttemptSpec:
        self._number += 1
        name = settings.pop("attempt", f"attempt-{self._number}")
        return AttemptSpec(
            attempt=AttemptId(name),
            token=settings.pop("token", 1),
            call=call,
            directory=str(self.home.work / name),
            log=str(self.home.logs / "run" / f"{name}.rank{{rank}}.log"),
            **settings,
        )

    def step(
        self,
        text: str,
        function: str = "main",
        *,
        arguments: dict[str, Value] | None = None,
        output: str = "json",
        **settings: Any,
    ) -> AttemptSpec:
        """An attempt that calls a function of the given code."""
        digest = text if len(text) == 64 else self.source(text)
        return self.spec(StepCall(digest, "steps", function, arguments or {}, output), **settings)

    def log(self, spec: AttemptSpec, rank: int = 0) -> str:
        path = Path(spec.log.replace("{rank}", str(rank)))
        return path.read_text() if path.exists() else ""

    def value(self, ended: Ended) -> Any:
        assert ended.output is not None, ended.outcome
        return self.store.get(ended.output)

    def processes(self) -> list[int]:
        """Everything that lives and belongs to this home."""
        found = linux.pids_with_environment(f"ARGOSY_HOME={self.home.root}".encode())
        return [pid for pid in found if linux.start_ticks(pid) is not None]

    @asynccontextmanager
    async def running(self, *, acknowledge: bool = True) -> AsyncIterator[Watched]:
        """A runtime that is started, shut down at the end, and has left nothing."""
        watched = Watched(self.home, acknowledge=acknowledge)
        await watched.runtime.start()
        try:
            yield watched
        finally:
            await watched.runtime.shut_down()
        self.assert_nothing_left()

    def end_everything(self) -> None:
        """What a test that failed half way has left must not outlive it."""
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.sched_yield()
        starting.collect()

    def assert_nothing_left(self) -> None:
        assert self.processes() == []
        assert sorted(path.name for path in self.home.run.iterdir()) == ["launcher.lock"]
        assert not self.home.work.exists() or list(self.home.work.iterdir()) == []
        assert launcher_faults(self.home) == ""


def launcher_faults(home: Home) -> str:
    log = home.logs / "launcher.log"
    return log.read_text() if log.exists() else ""


def inline(value: object) -> Inline:
    return Inline(msgspec.Raw(msgspec.json.encode(value)))


def program(pid: int) -> str:
    """What a process runs; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; none takes this long."""

    async def bounded() -> None:
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            await main

    asyncio.run(bounded())
