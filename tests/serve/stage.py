"""A home with services in it, and everything that runs for them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from argosy.api.views import ServiceView
from argosy.artifacts.reference import ArtifactReference
from argosy.clock import SystemClock
from argosy.errors import NotFound
from argosy.flow.service_options import Scaling, ServiceOptions
from argosy.home import Home
from argosy.metadata.records import Record, ServiceRecord
from argosy.runtime.protocol import AttemptId
from argosy.serve.deployment import Deployment, ModelReference, ServiceChange
from argosy.serve.http.client import Client, Response
from argosy.serve.lifecycle.state import Settings
from argosy.serve.manager.manager import ServiceManager

from .harness import Load, until
from .models import make_model
from .process_runner import Runner

# A load that no test makes.
STILL = ServiceOptions(scaling=Scaling(target=10_000.0))


class Records:
    """The service records of a metadata store."""

    def __init__(self) -> None:
        self.rows: dict[str, ServiceRecord] = {}

    def services(self) -> list[ServiceRecord]:
        return list(self.rows.values())

    def write(self, records: Iterable[Record]) -> None:
        for record in records:
            assert isinstance(record, ServiceRecord)
            self.rows[record.service] = record

    def delete_service(self, name: str) -> None:
        self.rows.pop(name, None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Stage:
    """Models are named after the seed they are made from: ``m3`` is ``make_model(seed=3)``."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.home = Home(root / "home")
        self.home.run.mkdir(parents=True)
        self.runner = Runner()
        self.records = Records()
        self.changes: list[ServiceChange] = []
        self.port = free_port()
        self.settings = settings
        self.manager = self._new_manager()

    def model(self, name: str) -> ModelReference:
        directory = self.root / "models" / name
        if not directory.exists():
            make_model(directory, seed=int(name.removeprefix("m")))
        return ModelReference(name, ArtifactReference(name, "model", 1))

    def deployment(
        self,
        service: str,
        *models: str,
        replicas: int = 1,
        most: int = 4,
        run: str = "run",
        options: ServiceOptions = STILL,
    ) -> Deployment:
        references = tuple(self.model(name) for name in models)
        return Deployment(service, references, (replicas, most), "mean", run, "node", options=options)

    async def deploy(
        self,
        service: str,
        *models: str,
        replicas: int = 1,
        most: int = 4,
        run: str = "run",
        options: ServiceOptions = STILL,
    ) -> ServiceChange:
        """The answer to the deployment."""
        seen = len(self.changes)
        self.manager.deploy(
            self.deployment(service, *models, replicas=replicas, most=most, run=run, options=options)
        )
        return await self.answer(run, seen)

    async def answer(self, run: str, seen: int = 0) -> ServiceChange:
        return await until(
            lambda: next((one for one in self.changes[seen:] if one.run == run), None), f"the answer to {run}"
        )

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        client = Client(self.gateway_port)
        extra = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
        try:
            return await client.request(method, path, body, timeout_seconds=20, headers=extra)
        finally:
            client.close()

    def load(self, service: str, body: bytes, callers: int = 8) -> Load:
        return Load(self.gateway_port, f"/v1/models/{service}:predict", body, callers)

    def view(self, service: str) -> ServiceView:
        return next(view for view in self.manager.views() if view.name == service)

    async def state(self, service: str, state: str) -> ServiceView:
        return await until(
            lambda: next(
                (one for one in self.manager.views() if (one.name, one.state) == (service, state)), None
            ),
            f"{service} to be {state}",
        )

    @property
    def gateway_port(self) -> int:
        return int(self.manager.gateway_address.rpartition(":")[2])

    @property
    def attempts(self) -> set[AttemptId]:
        return {attempt for attempt, _ in self.runner.alive}

    async def restart_control_plane(self) -> None:
        """The manager vanishes; a successor finds what is stored and what lives."""
        self.runner.listener = lambda event: None
        await self.manager.close()
        self.manager = self._new_manager()
        await self.start()

    async def start(self) -> None:
        self.runner.listener = self.manager.on_event
        for event in self.runner.unacknowledged:
            self.manager.on_event(event)
        await self.manager.start(self.runner.alive)

    def _new_manager(self) -> ServiceManager:
        return ServiceManager(
            self.home,
            self.runner,
            self.records,
            self._model_path,
            self.changes.append,
            SystemClock(),
            self.port,
            self.settings,
        )

    def _model_path(self, reference: ArtifactReference) -> Path:
        path = self.root / "models" / reference.digest
        if not path.exists():
            raise NotFound(f"artifact {reference.digest} does not exist")
        return path


@asynccontextmanager
async def stage(root: Path, settings: Settings | None = None) -> AsyncIterator[Stage]:
    made = Stage(root, settings or Settings())
    try:
        await made.start()
        yield made
    finally:
        await made.manager.close()
        await made.runner.close()
        leftover = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not leftover, leftover
