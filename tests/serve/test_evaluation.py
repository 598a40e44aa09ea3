"""Two revisions asked for the same images, and whether the newer may take over."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from argosy.data.manifest import Column
from argosy.data.writer import DatasetWriter
from argosy.errors import ArgosyError, InvalidInput, NotFound, RunFailed
from argosy.serve.promotion.evaluation import EvaluationSpec, evaluate
from argosy.serve.promotion.verdicts import Evaluation, judge, judge_recorded

from .harness import asynchronous, until

ROWS, CLASSES = 150, 4


def dataset(folder: Path, split: str = "validation", channels: int = 0) -> Path:
    """Images whose every pixel is their number; the label is the number modulo the classes."""
    shape = (6, 5, channels) if channels else (6, 5)
    writer = DatasetWriter(folder, {"images": Column("uint8", shape), "labels": Column("uint8", ())})
    numbers = np.arange(ROWS, dtype=np.uint8)
    images = np.broadcast_to(numbers.reshape(-1, *[1] * len(shape)), (ROWS, *shape))
    writer.append(split, {"images": np.ascontiguousarray(images), "labels": numbers % CLASSES})
    writer.finish(name="numbers")
    return folder


class Revisions:
    """An HTTP server: r1 is right, r2 errs on every fifth image, r3 fails, r4 is no classifier."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        authority = dict(scope["headers"])[b"host"].decode()
        images = [base64.b64decode(one["b64"]) for one in json.loads(body)["instances"]]
        self.sizes.append(len(images))
        status = 503 if authority == "r3.digits" else 200
        answers = [self._answer(authority, image) for image in images]
        document = {"predictions": answers} if status == 200 else {"error": "no replica is ready"}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    def _answer(self, authority: str, image: bytes) -> Any:
        number = int(np.asarray(Image.open(io.BytesIO(image))).flat[0])
        if authority == "r4.digits":
            return {"text": "a boot"}
        best = (number + (authority == "r2.digits" and number % 5 == 0)) % CLASSES
        return [0.7 if place == best else 0.1 for place in range(CLASSES)]


@asynccontextmanager
async def revisions(socket: Path) -> AsyncIterator[Revisions]:
    app = Revisions()
    server = uvicorn.Server(uvicorn.Config(app, uds=str(socket), lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started, "the server")
        yield app
    finally:
        server.should_exit = True
        await serving


def specification(folder: Path, data: Path, *numbers: int) -> EvaluationSpec:
    first, second = (f"r{number}.digits" for number in numbers)
    return EvaluationSpec("digits", (first, second), str(folder / "s"), str(data), str(folder / "result"))


@pytest.mark.parametrize("channels", [0, 1, 3])
@asynchronous
async def test_both_are_asked_for_every_image_of_the_validation_split(tmp_path: Path, channels: int) -> None:
    data = dataset(tmp_path / "data", channels=channels)
    async with revisions(tmp_path / "s") as app:
        found = await evaluate(specification(tmp_path, data, 1, 2))
    assert found == Evaluation(rows=150, serving_right=150, candidate_right=120, agreed=120)
    assert sorted(app.sizes) == [22, 22, 64, 64, 64, 64]


@pytest.mark.parametrize(
    ("numbers", "split", "kind", "words"),
    [
        ((1, 3), "validation", RunFailed, "r3.digits answered 503"),
        ((4, 1), "validation", InvalidInput, "r4.digits does not answer an image with a row"),
        ((1, 2), "train", NotFound, "no split 'validation'"),
    ],
)
@asynchronous
async def test_what_keeps_them_from_being_compared_is_said(
    tmp_path: Path, numbers: tuple[int, int], split: str, kind: type[ArgosyError], words: str
) -> None:
    data = dataset(tmp_path / "data", split)
    async with revisions(tmp_path / "s"):
        with pytest.raises(kind) as caught:
            await evaluate(specification(tmp_path, data, *numbers))
    assert words in caught.value.message


@asynchronous
async def test_a_gateway_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data")
    with pytest.raises(RunFailed, match=r"r1\.digits did not answer"):
        await evaluate(specification(tmp_path, data, 1, 2))


def test_a_verdict_says_both_figures() -> None:
    better = judge(Evaluation(1000, 900, 915, 880), 3, 4, 0.005)
    assert better.promote
    assert better.reason == (
        "accuracy 0.9150 of revision 4 beside 0.9000 of revision 3 on the validation split (915 and 900 of "
        "1,000 right, the same answer to 88.0%)"
    )
    worse = judge(Evaluation(1000, 900, 890, 880), 3, 4, 0.005)
    assert not worse.promote
    assert worse.reason.endswith("worse by 0.0100, and at most 0.005 is allowed")


@given(
    rows=st.integers(1, 10_000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    margin=st.floats(0, 1),
)
def test_only_what_is_worse_by_more_than_the_margin_is_refused(
    rows: int, shares: tuple[float, float], margin: float
) -> None:
    serving, candidate = (int(share * rows) for share in shares)
    verdict = judge(Evaluation(rows, serving, candidate, 0), 1, 2, margin)
    assert verdict.promote == (candidate / rows >= serving / rows - margin)


def test_recorded_metrics_are_compared_where_both_have_them() -> None:
    verdict = judge_recorded(
        {"validation_accuracy": 0.9}, {"validation_accuracy": 0.899, "accuracy": 1}, 0.005
    )
    assert verdict is not None
    assert verdict.promote
    assert verdict.reason == "recorded validation_accuracy 0.8990 beside 0.9000 of what serves"
    assert judge_recorded({"accuracy": 0.9}, {"validation_accuracy": 0.9}, 0.005) is None
    not_a_number = judge_recorded({"accuracy": 0.9}, {"accuracy": float("nan")}, 1.0)
    assert not_a_number is not None
    assert not not_a_number.promote
