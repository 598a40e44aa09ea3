"""The serve room on the real runtime and the real store."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from argosy.artifacts.reference import ArtifactReference
from argosy.clock import SystemClock
from argosy.home import Home
from argosy.metadata.store import MetadataStore
from argosy.runtime.runtime import Runtime
from argosy.serve.deployment import Deployment, ModelReference, ServiceChange
from argosy.serve.http_client import Client
from argosy.serve.manager import ServiceManager

from .harness import Load, asynchronous, until
from .models import expected, make_model, pixels, predict_body
from .stage import free_port

pytestmark = pytest.mark.slow

BODY = predict_body(pixels()[0])


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


def _deployment(root: Path) -> Deployment:
    models = []
    for seed in (1, 2):
        make_model(root / "models" / f"m{seed}", seed)
        models.append(ModelReference(f"m{seed}", ArtifactReference(f"m{seed}", "model", 1)))
    return Deployment("digits", tuple(models), (2, 2), run="run", node="node")


@asynchronous
async def test_an_ensemble_lives_through_kills_and_a_new_control_plane(tmp_path: Path) -> None:
    port, images = free_port(), pixels(3)
    async with plane(tmp_path, port, last=False) as first:
        first.manager.deploy(_deployment(tmp_path))
        answer = await first.answer()
        assert answer.state == "ready", answer.reason
        assert answer.endpoint["url"] == f"http://127.0.0.1:{port}/v1/models/digits:predict"
        load = Load(port, "/v1/models/digits:predict", BODY)
        pids = first.pids()

        async def kill() -> None:
            os.kill(pids[0], signal.SIGKILL)
            await until(lambda: first.pids()[0] not in (0, pids[0]), "another replica")
            await first.ready("digits")

        await load.during(kill())
        assert load.failures == []
        pids = first.pids()

    async with plane(tmp_path, port, last=True) as second:
        await second.ready("digits")
        assert second.pids() == pids
        client = Client(port)
        response = await client.request(
            "POST", "/v1/models/digits:predict", predict_body(*images), timeout_seconds=10
        )
        client.close()
        mean = (expected(1, images) + expected(2, images)) / 2
        np.testing.assert_allclose(json.loads(response.body)["predictions"], mean, rtol=1e-4, atol=1e-7)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@asynchronous
async def test_a_model_that_can_not_be_loaded_is_told_in_its_own_words(tmp_path: Path) -> None:
    deployment = _deployment(tmp_path)
    (tmp_path / "models" / "m2" / "model.onnx").write_bytes(b"damaged")
    async with plane(tmp_path, free_port(), last=True) as only:
        only.manager.deploy(deployment)
        answer = await only.answer()
    assert answer.state == "failed"
    assert "model 'm2' can not be started" in answer.reason
    assert "is not a model ONNX Runtime can load" in answer.reason
