"""The part of a control plane that services need, on the real runtime and the real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from argosy.artifacts.reference import ArtifactReference
from argosy.clock import SystemClock
from argosy.home import Home
from argosy.metadata.store import MetadataStore
from argosy.runtime.runtime import Runtime
from argosy.serve.deployment import ServiceChange
from argosy.serve.manager.manager import ServiceManager

from .harness import until


class Plane:
    """What a control plane is made of, as far as services go."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        home = Home(root / "home")
        for folder in (home.run, home.logs, home.work):
            folder.mkdir(parents=True, exist_ok=True)
        self.changes: list[ServiceChange] = []
        self.store = MetadataStore.open(home.database)
        self.runtime = Runtime(home, lambda event: self.manager.on_event(event))
        self.manager = ServiceManager(
            home, self.runtime, self.store, self._path, self.changes.append, SystemClock(), port
        )

    async def start(self) -> None:
        await self.manager.start(await self.runtime.start())

    async def answer(self) -> ServiceChange:
        return await until(lambda: next((one for one in self.changes if one.run), None), "the answer")

    async def ready(self, service: str) -> None:
        await until(
            lambda: any((one.name, one.state) == (service, "ready") for one in self.manager.views()),
            f"{service} to be ready",
        )

    def pids(self, member: int = 0) -> list[int]:
        return [one.pid or 0 for one in self.manager.views()[0].members[member].replicas]

    def _path(self, reference: ArtifactReference) -> Path:
        return self.root / "models" / reference.digest


@asynccontextmanager
async def plane(root: Path, port: int, *, last: bool) -> AsyncIterator[Plane]:
    made = Plane(root, port)
    await made.start()
    try:
        yield made
    except BaseException:
        last = True
        raise
    finally:
        await made.manager.close()
        await (made.runtime.shut_down() if last else made.runtime.detach())
        made.store.close()
