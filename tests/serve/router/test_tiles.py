"""Large images through a real router, tile by tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ..harness import asynchronous  # noqa: TID252
from ..models import b64, encode  # noqa: TID252
from .shards import CLEANING, ONE, predictions, sent
from .standin import Asked, Told, router, source

pytestmark = pytest.mark.slow


def sums(asked: Asked) -> Told:
    if asked.method == "GET":
        return Told(200, {"inputs": [{"shape": [-1, 2, 3, 1]}]})
    return Told(200, {"predictions": [[int(np.sum(one))] for one in asked.json["instances"]]})


@asynchronous
async def test_a_large_image_is_cut_into_tiles_row_by_row(tmp_path: Path) -> None:
    image = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    padded = np.pad(image, ((0, 1), (0, 2)), mode="edge").astype(int)
    expected = [
        [int(padded[row : row + 2, column : column + 3].sum())]
        for row in range(0, 6, 2)
        for column in range(0, 9, 3)
    ]
    body = {"instances": [b64(encode(image)), {"image_bytes": b64(encode(image[:2, :3]))}]}
    async with router(tmp_path, sums, ONE, sharding={"rows": 4, "tile": (2, 3)}) as served:
        first, second = predictions((await served.predict(body)).body)
        assert first == {"tiles": [3, 3], "predictions": expected}
        assert second == {"tiles": [1, 1], "predictions": [[int(image[:2, :3].sum())]]}
        assert np.shape(sent(served)[0].json["instances"]) == (4, 2, 3, 1)


@asynchronous
async def test_an_image_that_can_not_be_cut_is_named_and_a_tile_that_fails_too(tmp_path: Path) -> None:
    image = encode(np.arange(35, dtype=np.uint8).reshape(5, 7))
    async with router(tmp_path, sums, ONE, sharding={"rows": 4, "tile": (2, 3), "retries": 0}) as served:
        for wrong, words in [
            (b64(b"hello"), "instances[1]: the image starts with"),
            ([[1]], "instances[1] is not {'b64': ...}"),
            ({"b64": "?"}, "instances[1].b64 is not base64"),
        ]:
            response = await served.predict({"instances": [b64(image), wrong]})
            assert (response.status, words in response.body.decode()) == (400, True), response.body
        for told, status, words in [
            (Told(400, {"error": "instances[1] is strange"}), 400, "tile [1, 2] of instances[0] is strange"),
            (Told(500, {"error": "boom"}), 502, "tile [1, 1] to tile [2, 1] of instances[0]"),
        ]:

            def serve(asked: Asked, told: Told = told) -> Told:
                return told if np.sum(asked.json["instances"][0]) == 129 else sums(asked)

            served.members.asked.clear()
            served.members.serve = serve
            response = await served.predict({"instances": [b64(image)]})
            assert (response.status, words in response.body.decode()) == (status, True), response.body


@asynchronous
async def test_the_answer_for_an_image_is_cleaned_as_a_whole(tmp_path: Path) -> None:
    clean = source(tmp_path, CLEANING, "image")
    sharding = {"rows": 2, "tile": (2, 3), "clean": clean}
    image = b64(encode(np.arange(36, dtype=np.uint8).reshape(6, 6)))
    async with router(tmp_path, sums, ONE, sharding=sharding, sources=str(tmp_path / "sources")) as served:
        response = await served.predict({"instances": [image, image]})
        assert predictions(response.body) == [{"most": 186, "tiles": [3, 2]}] * 2
