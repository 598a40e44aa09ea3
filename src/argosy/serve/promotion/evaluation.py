"""Two revisions of a service on the same labelled images, through the gateway's internal side."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from argosy.data.reader import SplitReader, open_dataset
from argosy.errors import InvalidInput, RunFailed
from argosy.serve.http.client import Client, RequestFailed
from argosy.serve.promotion.verdicts import Evaluation

SPLIT = "validation"
_ROWS = 64
_SECONDS = 60.0
_JSON = ((b"content-type", b"application/json"),)


class EvaluationSpec(msgspec.Struct, frozen=True):
    """Ask ``authorities``, what serves and the candidate, for ``service`` at the gateway's internal
    ``socket``; the images are those of the validation split of the dataset folder ``dataset``. ``result`` is
    the file that the Evaluation is written to."""

    service: str
    authorities: tuple[str, str]
    socket: str
    dataset: str
    result: str


class Revision:
    """One revision of a service, asked for classes."""

    def __init__(self, spec: EvaluationSpec, authority: str) -> None:
        self._client = Client(spec.socket, authority)
        self._path = f"/v1/models/{spec.service}:predict"
        self._authority = authority

    async def classes(self, body: bytes, rows: int) -> npt.NDArray[np.int64]:
        """int64[rows]: the class each instance most probably is. Raises RunFailed, InvalidInput."""
        try:
            response = await self._client.request(
                "POST", self._path, body, timeout_seconds=_SECONDS, headers=_JSON
            )
        except RequestFailed as error:
            raise RunFailed(f"revision {self._authority} did not answer: {error}") from None
        if response.status != 200:
            said = response.body[:500].decode(errors="replace")
            raise RunFailed(f"revision {self._authority} answered {response.status}: {said}")
        return _best(response.body, rows, self._authority)

    def close(self) -> None:
        self._client.close()


def _best(body: bytes, rows: int, authority: str) -> npt.NDArray[np.int64]:
    try:
        predictions = np.asarray(msgspec.json.decode(body)["predictions"], np.float64)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        predictions = np.zeros(0)
    if predictions.ndim != 2 or len(predictions) != rows:
        raise InvalidInput(
            f"revision {authority} does not answer an image with a row of probabilities",
            hint="only classifiers can be compared; 'argosy promote ... --force' promotes without looking",
        )
    return np.asarray(np.argmax(predictions, axis=1), np.int64)


async def evaluate(spec: EvaluationSpec) -> Evaluation:
    """Every image of the split is asked of both. Raises ArgosyError for what keeps them from an answer."""
    split = open_dataset(Path(spec.dataset)).split(SPLIT)
    images, labels = _columns(split)
    revisions = [Revision(spec, authority) for authority in spec.authorities]
    right, agreed = np.zeros(2, np.int64), 0
    try:
        for columns in split.blocks(_ROWS):
            body, truth = _request(columns[images]), columns[labels].astype(np.int64)
            first, second = await asyncio.gather(*(one.classes(body, len(truth)) for one in revisions))
            right += [np.count_nonzero(first == truth), np.count_nonzero(second == truth)]
            agreed += int(np.count_nonzero(first == second))
    finally:
        for revision in revisions:
            revision.close()
    return Evaluation(split.rows, int(right[0]), int(right[1]), agreed)


def _columns(split: SplitReader) -> tuple[str, str]:
    """The names of the columns that hold images, uint8[h, w] or uint8[h, w, c], and whole-number labels."""
    images = [n for n, c in split.columns.items() if c.dtype == "uint8" and len(c.shape) in (2, 3)]
    labels = [n for n, c in split.columns.items() if np.dtype(c.dtype).kind in "iu" and not c.shape]
    if not images or not labels or not split.rows:
        raise InvalidInput(
            f"the {SPLIT} split has no images with labels; its columns are {', '.join(split.columns)}",
            hint="name a dataset with uint8 images and whole-number labels with --data, or use --force",
        )
    return images[0], labels[0]


def _request(images: npt.NDArray[np.uint8]) -> bytes:
    return msgspec.json.encode({"instances": [{"b64": _png(image)} for image in images]})


def _png(image: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    pixels = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def main(payload: dict[str, Any]) -> None:
    """Entry of the process."""
    spec = msgspec.convert(payload, EvaluationSpec)
    found = asyncio.run(evaluate(spec))
    Path(spec.result).write_bytes(msgspec.json.encode(found))
