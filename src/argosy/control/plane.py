"""The control plane: engine, scheduler, runtime and services composed behind one interface."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from argosy import __version__
from argosy.api.views import (
    LogLine,
    NodeView,
    RunRequest,
    RunSummary,
    RunView,
    ShutdownRequest,
    ShutdownView,
    StatusView,
)
from argosy.artifacts.reference import Value
from argosy.artifacts.store import ArtifactStore
from argosy.clock import Clock, SystemClock
from argosy.control import views
from argosy.control.access import Access
from argosy.control.deployments import Deployments
from argosy.control.importing import Importer
from argosy.control.logs import LogReader
from argosy.control.machine import machine_capacity
from argosy.control.promoting import Promotion
from argosy.control.service_api import ServiceApi
from argosy.control.serving import Serving
from argosy.control.sources import store_source
from argosy.control.tasks import PREFIX as TASK_PREFIX
from argosy.control.tasks import Tasks
from argosy.control.watching import Watchers
from argosy.engine.shell import Engine
from argosy.errors import ArgosyError, Conflict, NotFound
from argosy.flow.graph import Graph, NodeId, StepNode, graph_from_json
from argosy.flow.validation import validate
from argosy.home import Home
from argosy.metadata.records import RunRecord
from argosy.metadata.store import MetadataStore
from argosy.runtime.protocol import RuntimeEvent
from argosy.runtime.runtime import Runtime
from argosy.schedule.queue import JobQueue
from argosy.serve.access.audit import AuditReader
from argosy.serve.access.keeper import TokenKeeper
from argosy.serve.deployment import Deployment, ServiceChange
from argosy.serve.gateway.files import GatewayFiles
from argosy.serve.manager.manager import ServiceManager

_LOG = logging.getLogger(__name__)
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class ControlPlane:
    """Everything one home runs. Built once the home is locked; all methods belong to one event loop."""

    def __init__(self, home: Home, store: MetadataStore, clock: Clock | None = None):
        self.home = home
        self.stopped = asyncio.Event()
        self._clock = clock or SystemClock()
        self.started_at = self._clock.now()
        self._store = store
        self._artifacts = ArtifactStore(home.artifacts)
        self._capacity = machine_capacity()
        self._queue = JobQueue(self._capacity)
        self._runtime = Runtime(home, self._on_runtime_event)
        self._deployments = Deployments(self._deploy, self._artifacts.get, self._author)
        self._services = ServiceManager(
            home,
            self._runtime,
            store,
            self._artifacts.path,
            self._on_service_change,
            self._clock,
        )
        self._tasks = Tasks(home, self._runtime)
        importer = Importer(home, store, self._tasks, self._clock)
        self._serving = Serving(home, self._services, importer)
        paths = GatewayFiles(home).paths
        tokens = TokenKeeper(store, Path(paths.jwks), self._clock)
        self._access = Access(tokens, store, self._services.set_revoked, self._clock)
        self._audit = AuditReader(store, Path(paths.audit), paths.admin_socket, self._clock)
        self.serving = ServiceApi(
            self._services,
            self._serving,
            Promotion(home, store, self._artifacts, self._tasks),
            self._access,
        )
        self._engine = Engine(
            home,
            store,
            self._artifacts,
            self._queue,
            self._runtime,
            self._deployments,
            self._clock,
            self._on_change,
        )
        self._deployments.answers = self._engine
        self._watchers = Watchers(self._view, lambda run: run not in self._engine.runs)
        self._keep_processes = False
        self._adopted = False

    # Life.

    async def start(self) -> None:
        """Adopt what an earlier control plane left running and resume its runs and services."""
        alive = await self._runtime.start()
        self._adopted = bool(alive)
        self._tasks.start(alive)
        self._access.start()
        await self._services.start(alive)
        self._audit.start()
        self._serving.start()
        self._engine.recover(alive)

    async def abandon(self) -> None:
        """After a start that failed: nothing of it is left, and what lived before it is left to the next."""
        await (self._runtime.detach() if self._adopted else self._runtime.shut_down())
        self._store.close()

    async def close(self) -> None:
        """End cleanly: unless it was asked to keep them, nothing that was started is left."""
        self._engine.close()
        await self._serving.close()
        if not self._keep_processes:
            await self._services.drain()
        await self._audit.close()
        await self._services.close()
        if self._keep_processes:
            await self._runtime.detach()
        else:
            await self._runtime.shut_down()
            self._services.sweep()
        self._store.close()

    def _on_runtime_event(self, event: RuntimeEvent) -> None:
        if self._engine.owns(event.attempt):
            self._engine.on_runtime_event(event)
        elif event.attempt.startswith(TASK_PREFIX):
            self._tasks.on_event(event)
        else:
            self._services.on_event(event)

    def _deploy(self, deployment: Deployment) -> None:
        self._services.deploy(deployment)

    def _author(self, run: str) -> str:
        record = self._store.run(run)
        return record.user if record else ""

    def _on_service_change(self, change: ServiceChange) -> None:
        self._serving.on_change(change)
        self._deployments.on_change(change)

    def _on_change(self, run: str) -> None:
        self._watchers.changed(run)

    # The API (argosy.control.service.ControlService).

    async def submit(self, request: RunRequest) -> RunView:
        graph = graph_from_json(msgspec.json.encode(request.graph))
        validate(graph, self._capacity)
        store_source(self.home, graph.source.digest, request.source)
        run = self._new_run_id(graph.workflow)
        (self.home.logs / run).mkdir(parents=True, exist_ok=True)
        self._engine.submit(run, graph, request.user)
        self._warm(graph)
        return self._view(run)

    def _new_run_id(self, workflow: str) -> str:
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(6))
        return f"{workflow.replace('_', '-').lower()[:40]}-{suffix}"

    def _warm(self, graph: Graph) -> None:
        """Import heavy libraries while the steps before their use still run."""
        for preload in {node.preload for node in graph.nodes if isinstance(node, StepNode)}:
            if preload:
                self._runtime.warm(preload)

    async def run(self, run: str) -> RunView:
        return self._view(run)

    async def runs(self, limit: int) -> list[RunSummary]:
        records = self._store.runs(limit)
        counts = self._store.run_counts([record.run for record in records])
        return [views.run_summary(record, counts.get(record.run, {})) for record in records]

    async def cancel(self, run: str) -> RunView:
        record = self._record(run)
        if record.state != "running":
            how = "was cancelled" if record.state == "cancelled" else record.state
            raise Conflict(f"run {run} is over: it {how}", hint="only a running run can be cancelled")
        self._engine.cancel(run, "cancelled by a user")
        return self._view(run)

    async def watch(self, run: str) -> AsyncIterator[RunView]:
        self._record(run)
        return self._watchers.watch(run)

    async def logs(self, run: str, node: str | None, follow: bool) -> AsyncIterator[Sequence[LogLine]]:
        self._record(run)
        if node is not None:
            self._check_node(run, node)
        reader = LogReader(
            self.home,
            lambda: self._store.attempts(run, node),
            lambda: run not in self._engine.runs,
        )
        return reader.lines(follow)

    def _check_node(self, run: str, node: str) -> None:
        names = [record.node for record in self._store.nodes(run)]
        if node not in names:
            shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise NotFound(f"run {run} has no node {node!r}", hint=f"its nodes are {shown}")

    async def status(self) -> StatusView:
        used = self._queue.state.used
        return StatusView(
            version=__version__,
            home=str(self.home.root),
            pid=os.getpid(),
            started_at=self.started_at,
            gateway=self._services.gateway_address,
            cpu_total=self._capacity.cpu,
            cpu_used=round(used.cpu, 6),
            memory_total=self._capacity.memory,
            memory_used=used.memory,
            runs_active=len(self._engine.runs),
            services=len(self._services.views()),
            degraded=self._engine.degraded,
        )

    async def shut_down(self, request: ShutdownRequest) -> ShutdownView:
        self._keep_processes = request.keep_services
        ended = ShutdownView(
            pid=os.getpid(),
            services=[] if request.keep_services else [view.name for view in self._services.views()],
            runs=sorted(self._engine.runs),
        )
        asyncio.get_running_loop().call_soon(self.stopped.set)
        return ended

    # Views.

    def _record(self, run: str) -> RunRecord:
        record = self._store.run(run)
        if record is None:
            raise NotFound(f"there is no run {run!r}", hint="`argosy runs` lists them")
        return record

    def _view(self, run: str) -> RunView:
        record = self._record(run)
        attempts = views.by_node(self._store.attempts(run))
        latest = self._store.latest_metrics(run)
        nodes: list[NodeView] = []
        for node in self._store.nodes(run):
            mine = attempts.get(node.node, [])
            newest = mine[-1].attempt if mine else ""
            live = self._engine.telemetry.progress(newest) or views.last_progress(latest.get(newest))
            waits = self._engine.waiting_reason(run, NodeId(node.node)) if node.state == "queued" else ""
            nodes.append(views.node_view(node, mine, views.progress_view(live) if live else None, waits))
        return views.run_view(record, nodes, self._output, self._engine.degraded)

    def _output(self, value: Value) -> Any:
        try:
            return views.value_as_json(value, self._artifacts.read_json)
        except ArgosyError as error:
            return {"error": error.message}
