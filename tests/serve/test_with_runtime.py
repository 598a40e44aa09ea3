"""The serve room on the real runtime and the real store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from argosy.api.views import RevisionView
from argosy.artifacts.reference import ArtifactReference
from argosy.flow.service_options import Scaling, ServiceOptions, Strategy
from argosy.serve.deployment import Deployment, ModelReference
from argosy.serve.http.client import Client

from .harness import Load, asynchronous, until
from .models import expected, make_model, pixels, predict_body
from .planes import Plane, plane
from .stage import free_port

pytestmark = pytest.mark.slow

BODY = predict_body(pixels()[0])


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


@pytest.mark.parametrize(
    "crash_point", ["services.stored:2", "services.published:2", "services.stored:6", "services.published:12"]
)
@asynchronous
async def test_a_control_plane_killed_while_it_deploys_has_a_successor_that_finishes(
    tmp_path: Path, crash_point: str
) -> None:
    port = free_port()
    deployment = tmp_path / "deployment.json"
    deployment.write_bytes(msgspec.json.encode(_deployment(tmp_path)))
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"{__package__}.deploying", str(tmp_path), str(port), str(deployment)),
        env={**os.environ, "ARGOSY_CRASH_POINT": crash_point, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await killed.communicate()
    assert (killed.returncode, output) == (-signal.SIGKILL, b"")
    async with plane(tmp_path, port, last=True) as successor:
        await successor.ready("digits")
        assert (await successor.answer()).state == "ready"
        client = Client(port)
        response = await client.request("POST", "/v1/models/digits:predict", BODY, timeout_seconds=10)
        client.close()
        assert response.status == 200


@asynchronous
async def test_a_model_that_can_not_be_loaded_is_told_in_its_own_words(tmp_path: Path) -> None:
    deployment = _deployment(tmp_path)
    (tmp_path / "models" / "m2" / "model.onnx").write_bytes(b"damaged")
    async with plane(tmp_path, free_port(), last=True) as only:
        only.manager.deploy(deployment)
        answer = await only.answer()
    assert answer.state == "failed"
    assert "model 'm2' can not be started" in answer.reason
    assert "is not a whole ONNX file" in answer.reason


@asynchronous
async def test_a_service_at_zero_answers_from_warm_processes_and_a_new_control_plane_does_too(
    tmp_path: Path,
) -> None:
    port = free_port()
    options = ServiceOptions(strategy=Strategy.EVENT, scaling=Scaling(idle_seconds=0.2))
    deployment = msgspec.structs.replace(_deployment(tmp_path), options=options)
    async with plane(tmp_path, port, last=False) as first:
        first.manager.deploy(deployment)
        assert (await first.answer()).state == "ready"
        await _at_zero(first)
        assert await _predict(port) == 200
        await _at_zero(first)
    async with plane(tmp_path, port, last=True) as second:
        await _at_zero(second)
        assert await _predict(port) == 200


async def _at_zero(made: Plane) -> None:
    await until(lambda: made.manager.views()[0].state == "idle", "zero replicas")


async def _predict(port: int) -> int:
    client = Client(port)
    try:
        response = await client.request("POST", "/v1/models/digits:predict", BODY, timeout_seconds=20)
    finally:
        client.close()
    return response.status


@pytest.mark.parametrize("crash_point", [f"services.stored:{number}" for number in (16, 18, 20, 24)])
@asynchronous
async def test_a_control_plane_killed_while_requests_move_has_a_successor_that_serves(
    tmp_path: Path, crash_point: str
) -> None:
    port = free_port()
    deployment = tmp_path / "deployment.json"
    deployment.write_bytes(msgspec.json.encode(_deployment(tmp_path)))
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"{__package__}.releasing", str(tmp_path), str(port), str(deployment)),
        env={**os.environ, "ARGOSY_CRASH_POINT": crash_point, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await killed.communicate()
    assert (killed.returncode, output) == (-signal.SIGKILL, b"")
    async with plane(tmp_path, port, last=True) as successor:
        await successor.ready("digits")
        await until(lambda: all(one.percent in (0, 100) for one in _revisions(successor)), "whole shares")
        assert sum(one.percent for one in _revisions(successor)) == 100
        assert await _predict(port) == 200


def _revisions(made: Plane) -> list[RevisionView]:
    return made.manager.views()[0].revisions
