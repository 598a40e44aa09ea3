"""A machine for the durable shell: real stores, time that jumps, scripted processes, crashes where asked."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from argosy.artifacts.reference import ArtifactReference, Inline, Many, Stored, Value
from argosy.artifacts.store import ArtifactStore
from argosy.clock import ManualClock
from argosy.engine.shell import Engine
from argosy.errors import Unavailable
from argosy.flow.graph import Graph, NodeId, ServiceNode
from argosy.home import Home
from argosy.metadata.records import Record
from argosy.metadata.store import MetadataStore
from argosy.runtime.protocol import AttemptId, AttemptSpec, Cause, Ended, Outcome, Started, StepCall
from argosy.schedule.model import Capacity
from argosy.schedule.queue import JobQueue

Function = Callable[..., Any]
Key = tuple[AttemptId, int]


class Crash(BaseException):
    """The control plane is gone at this very point."""


class JumpingSelector(selectors.SelectSelector):
    """When everybody waits, time jumps to the next timer; when there is none, nothing would ever happen."""

    def __init__(self, clock: ManualClock):
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits, and nothing would ever happen")
        if not ready and timeout:
            self._clock.advance(timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop on a manual clock. What its callbacks raise is kept for the test."""

    def __init__(self, clock: ManualClock):
        self._manual = clock
        self.faults: list[BaseException] = []
        super().__init__(JumpingSelector(clock))
        # The loop adds this to the time to find what is due; less is lost beside seconds since 1970.
        self._clock_resolution = 1e-5
        self.set_exception_handler(self._keep)

    def time(self) -> float:
        return self._manual.monotonic()

    def _keep(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fault = context.get("exception")
        if not isinstance(fault, Crash):
            self.faults.append(fault or RuntimeError(context["message"]))


class WatchedStore:
    """The real store as one control plane sees it: fails or crashes at chosen writes, then is shut."""

    def __init__(self, store: MetadataStore, plan: Callable[[int], str], on_crash: Callable[[], None]):
        self.writes = 0
        self.dead = False
        self._store = store
        self.plan = plan
        self._on_crash = on_crash

    def write(self, records: Iterable[Record]) -> None:
        rows = list(records)
        self._check()
        self.writes += 1
        match self.plan(self.writes):
            case "unavailable":
                raise Unavailable("the disk is full")
            case "crash before":
                self._crash()
            case "crash after":
                self._store.write(rows)
                self._crash()
            case _:
                self._store.write(rows)

    def _crash(self) -> None:
        self.dead = True
        self._on_crash()
        raise Crash

    def _check(self) -> None:
        if self.dead:
            raise Crash

    def __getattr__(self, name: str) -> Any:
        self._check()
        return getattr(self._store, name)


class ScriptedLauncher:
    """Processes that live on when the control plane dies. Functions end when :attr:`held` does not name them.

    ``calls`` counts how often each attempt's function was really called; ``most`` is the most cores that were
    ever held at once.
    """

    def __init__(self, artifacts: ArtifactStore, clock: ManualClock, functions: dict[str, Function]):
        self.functions = functions
        self.outputs: dict[str, Value] = {}
        self.held: set[str] = set()
        self.specs: dict[Key, AttemptSpec] = {}
        self.unacknowledged: dict[Key, Ended] = {}
        self.calls: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()
        self.most = 0.0
        self.stops: list[tuple[AttemptId, Cause]] = []
        self.began = asyncio.Event()
        self._artifacts = artifacts
        self._clock = clock
        self._listener: Engine | None = None

    # What the engine calls.

    def launch(self, spec: AttemptSpec) -> None:
        key = (spec.attempt, spec.token)
        self.launches[spec.attempt] += 1
        if key in self.specs or key in self.unacknowledged:
            return
        self.specs[key] = spec
        self.most = max(self.most, sum(each.cpu * each.workers for each in self.specs.values()))
        asyncio.get_running_loop().call_soon(self._begin, key)

    def stop(self, attempt: AttemptId, cause: Cause, message: str = "") -> None:
        self.stops.append((attempt, cause))
        for key in [key for key in self.specs if key[0] == attempt]:
            asyncio.get_running_loop().call_soon(self.end, key, Outcome(cause, message))

    def acknowledge(self, attempt: AttemptId, token: int) -> None:
        self.unacknowledged.pop((attempt, token), None)

    # What happens to processes.

    def connect(self, engine: Engine) -> frozenset[Key]:
        """A control plane came: the ends it may not know are told again, and the attempts at hand named."""
        self._listener = engine
        for ended in self.unacknowledged.values():
            engine.on_runtime_event(ended)
        return frozenset(self.specs) | frozenset(self.unacknowledged)

    def kill_all(self) -> None:
        """The launcher is killed, and all its processes and what it remembered with it."""
        self.specs.clear()
        self.unacknowledged.clear()

    def release(self, function: str) -> None:
        self.held.discard(function)
        for key, spec in list(self.specs.items()):
            if _call(spec).function == function:
                self._go_on(key)

    def end(self, key: Key, outcome: Outcome, output: Value | None = None) -> None:
        if self.specs.pop(key, None) is not None:
            ended = Ended(*key, outcome, self._clock.now(), output)
            self.unacknowledged[key] = ended
            if self._listener is not None:
                self._listener.on_runtime_event(ended)

    def disconnect(self) -> None:
        self._listener = None

    def _begin(self, key: Key) -> None:
        self.began.set()
        if key in self.specs:
            if self._listener is not None:
                self._listener.on_runtime_event(Started(*key, ((4242, 1),), self._clock.now()))
            self._go_on(key)

    def _go_on(self, key: Key) -> None:
        spec = self.specs.get(key)
        if spec is None or _call(spec).function in self.held:
            return
        call = _call(spec)
        self.calls[key[0]] += 1
        arguments = {name: self.value(value) for name, value in call.arguments.items()}
        try:
            result = self.functions[call.function](**arguments)
        except Exception as error:
            self.end(key, Outcome(Cause.ERROR, str(error)))
        else:
            output = self.outputs.get(call.function) or self._artifacts.put_json(result)
            self.end(key, Outcome(Cause.SUCCEEDED), output)

    def value(self, value: Value) -> Any:
        match value:
            case Many(items):
                return [self.value(item) for item in items]
            case Stored() | Inline():
                return self._artifacts.get(value)


class ScriptedServices:
    """Every deployment is ready a moment later; an equal one again at once."""

    def __init__(self) -> None:
        self.deployed: dict[tuple[str, str, int], int] = {}
        self.listener: Engine | None = None
        self.asked = asyncio.Event()

    def deploy(self, run: str, node: NodeId, generation: int, service: ServiceNode, models: Value) -> None:
        size = len(models.items) if isinstance(models, Many) else 1
        self.deployed[run, node, generation] = size
        self.asked.set()
        asyncio.get_running_loop().call_soon(self._answer, run, node, generation, size)

    def _answer(self, run: str, node: NodeId, generation: int, size: int) -> None:
        if self.listener is not None:
            self.listener.service_ready(run, node, generation, {"name": node, "models": size})


class Machine:
    """One home over the lives of several control planes."""

    def __init__(self, root: Path, functions: dict[str, Function], cores: float = 2.0):
        self.home = Home(root)
        self.clock = ManualClock()
        self.store = MetadataStore.open(self.home.database)
        self.artifacts = ArtifactStore(self.home.artifacts)
        self.launcher = ScriptedLauncher(self.artifacts, self.clock, functions)
        self.services = ScriptedServices()
        self.cores = cores
        self.loop = JumpingLoop(self.clock)
        self.changed = asyncio.Event()
        self.crashed = False
        self.starts = 0
        self.plan: Callable[[int], str] = lambda _: ""
        self.plans: Callable[[], Callable[[int], str]] | None = None
        self.on_crash: Callable[[], Any] = lambda: None

    def close(self) -> None:
        self.loop.close()
        self.store.close()
        assert self.loop.faults == []

    def build(self) -> Engine:
        """Another control plane, not recovered yet."""
        self.crashed = False
        self.starts += 1
        self.watched = WatchedStore(self.store, self.plans() if self.plans else self.plan, self._on_crash)
        self.plan = lambda _: ""
        engine = Engine(
            self.home,
            self.watched,
            self.artifacts,
            JobQueue(Capacity(self.cores, 2**40)),
            self.launcher,
            self.services,
            self.clock,
            lambda _: self.changed.set(),
        )
        self.services.listener = engine
        return engine

    def die(self) -> None:
        """The control plane is gone between two commits."""
        self.watched.dead = True
        self._on_crash()

    def crash_at_next(self, where: str) -> None:
        """The control plane will be gone at its next commit."""
        self.watched.plan = lambda _: where

    def _on_crash(self) -> None:
        self.crashed = True
        self.launcher.disconnect()
        self.services.listener = None
        self.changed.set()
        self.on_crash()

    def play(self, body: Callable[[], Any]) -> Any:
        """Run a coroutine function to its end in the jumping loop."""
        return self.loop.run_until_complete(body())

    async def settle(self, engine: Engine) -> None:
        """Wait until every run has ended, or the control plane has."""
        while engine.runs and not self.crashed:
            self.changed.clear()
            await self.changed.wait()

    def run(self, *graphs: Graph) -> None:
        """Submit and wait for the end, over as many crashes as there are."""
        self.play(lambda: self._run(graphs))

    async def _run(self, graphs: tuple[Graph, ...]) -> None:
        engine = await self.start()
        for number, graph in enumerate(graphs):
            while self.store.run(f"r{number}") is None:
                try:
                    engine.submit(f"r{number}", graph, "someone")
                except Crash:
                    engine = await self.start()
                except Unavailable:
                    continue
        while True:
            await self.settle(engine)
            if not self.crashed:
                break
            engine = await self.start()
        engine.close()

    async def start(self) -> Engine:
        """A control plane that is up: started as often as it takes."""
        while True:
            try:
                engine = self.build()
                engine.recover(self.launcher.connect(engine))
            except Crash:
                continue
            return engine

    def resume(self) -> None:
        """A control plane on what is there, until every run has ended."""

        async def body() -> None:
            engine = await self.start()
            await self.settle(engine)
            engine.close()

        self.play(body)

    def run_more(self, run: str, graph: Graph) -> None:
        """One more run, on a control plane of its own."""

        async def body() -> None:
            engine = await self.start()
            engine.submit(run, graph, "someone")
            await self.settle(engine)
            engine.close()

        self.play(body)

    def reference(self, output: bytes | None) -> ArtifactReference:
        value = msgspec.json.decode(output or b"", type=Value)
        assert isinstance(value, Stored)
        return value.reference

    def output(self, run: str = "r0") -> Any:
        record = self.store.run(run)
        assert record is not None
        assert record.output is not None, record.reason
        return self.launcher.value(msgspec.json.decode(record.output, type=Value))

    def state(self, run: str = "r0") -> str:
        record = self.store.run(run)
        return record.state if record else "unknown"


def _call(spec: AttemptSpec) -> StepCall:
    assert isinstance(spec.call, StepCall)
    return spec.call
