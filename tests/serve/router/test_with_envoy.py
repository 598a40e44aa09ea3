"""Large requests through a real router and a real Envoy to real replicas."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argosy.serve.gateway.files import GatewayFiles
from argosy.serve.router.reading import HOLD_BYTES

from ..harness import asynchronous, until  # noqa: TID252
from ..models import b64, encode, expected, pixels, predict_body  # noqa: TID252
from ..stage import Stage, stage  # noqa: TID252
from .standin import Members, RouterProcess, Told, process

pytestmark = pytest.mark.slow


@asynccontextmanager
async def before(home: Stage, folder: Path, **spec: Any) -> AsyncIterator[RouterProcess]:
    """A router of the first revision of ``digits``, before its replicas."""
    payload = {
        "service": "s",
        "aggregate": "mean",
        "socket": GatewayFiles(home.home).paths.internal_socket,
        "authority": "r1.digits",
        **spec,
    }
    async with process(folder, "router", payload, Members(lambda asked: Told()), RouterProcess) as started:
        yield started


@asynchronous
async def test_a_shard_that_is_killed_in_mid_request_costs_nothing(tmp_path: Path) -> None:
    images = pixels(9000)
    body = predict_body(*images)
    enough = HOLD_BYTES + 2**20
    assert len(body) > enough
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=2)
        async with before(home, tmp_path, members=("digits.m1",), sharding={"rows": 16}) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**26)
            head = b"POST /v1/models/s:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            victim = next(one for one in home.attempts if one.endswith("m1.0"))
            pid = home.runner._running[victim].pid
            idle = _cpu_ticks(pid)
            writer.write(head + body[:enough])
            await until(lambda: _cpu_ticks(pid) > idle + 5, "the shard to work")
            home.runner.kill(victim)
            writer.write(body[enough:])
            answered = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answered)
            assert length is not None
            answer = await reader.readexactly(int(length[1]))
            writer.close()
        assert answered.startswith(b"HTTP/1.1 200"), answer[:500]
        np.testing.assert_allclose(
            json.loads(answer)["predictions"], expected(1, images), rtol=1e-4, atol=1e-7
        )


@asynchronous
async def test_a_bad_image_in_a_large_request_is_told_with_the_callers_position(tmp_path: Path) -> None:
    instances = [b64(encode(image)) for image in pixels(200)]
    instances[137] = b64(b"hello")
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=2)
        async with before(home, tmp_path, members=("digits.m1",), sharding={"rows": 16}) as served:
            response = await served.predict({"instances": instances})
    assert response.status == 400
    assert json.loads(response.body)["error"].startswith("instances[137]: the image starts with")


@asynchronous
async def test_shards_of_several_models_are_an_ensemble(tmp_path: Path) -> None:
    images = pixels(100)
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2")
        members = ("digits.m1", "digits.m2")
        async with before(home, tmp_path, members=members, sharding={"rows": 16}) as served:
            response = await served.predict(
                {**json.loads(predict_body(*images)), "parameters": {"labels": True}}
            )
    answer = json.loads(response.body)
    mean = (expected(1, images) + expected(2, images)) / 2
    np.testing.assert_allclose(answer["predictions"], mean, rtol=1e-4, atol=1e-7)
    assert answer["labels"] == [f"class {best}" for best in mean.argmax(axis=1)]
    assert response.headers[b"x-argosy-members"] == b"digits.m1,digits.m2"


@asynchronous
async def test_a_large_image_is_answered_tile_by_tile(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (28 * 10, 28 * 15), dtype=np.uint8)
    tiles = image.reshape(10, 28, 15, 28).swapaxes(1, 2).reshape(150, 28, 28)
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=2)
        sharding = {"rows": 16, "tile": (28, 28)}
        async with before(home, tmp_path, members=("digits.m1",), sharding=sharding) as served:
            response = await served.predict({"instances": [b64(encode(image))]})
    (answer,) = json.loads(response.body)["predictions"]
    assert answer["tiles"] == [10, 15]
    np.testing.assert_allclose(answer["predictions"], expected(1, tiles), rtol=1e-4, atol=1e-7)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
