"""Asking a served model over HTTP, as any program would: KServe's V1 protocol, images as base64 PNG."""

from __future__ import annotations

import base64
import http.client
import io
import json
import threading
import time
import urllib.parse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclass(frozen=True, slots=True)
class Answers:
    """``probabilities``, float[images, classes] in the order asked; the wall time of all requests together,
    and of each, in seconds."""

    probabilities: npt.NDArray[np.float64]
    wall_seconds: float
    request_seconds: npt.NDArray[np.float64]

    @property
    def requests_per_second(self) -> float:
        return len(self.request_seconds) / self.wall_seconds

    def percentile_milliseconds(self, percent: float) -> float:
        return float(np.percentile(self.request_seconds, percent)) * 1000


def png_base64(image: npt.NDArray[Any]) -> str:
    """A grey image, uint8[height, width], as the text of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def request_bodies(images: Sequence[str], batch: int) -> list[bytes]:
    """The JSON of each request, ``batch`` images in each."""
    return [
        json.dumps({"instances": [{"b64": image} for image in images[start : start + batch]]}).encode()
        for start in range(0, len(images), batch)
    ]


def ask(url: str, bodies: Sequence[bytes], callers: int) -> Answers:
    """Send every request, ``callers`` at a time, each caller over one connection that is kept.

    Raises ConnectionError with the server's words for an answer that is not 200.
    """
    mine = threading.local()
    connections: list[http.client.HTTPConnection] = []

    def call(body: bytes) -> tuple[float, list[list[float]]]:
        if not hasattr(mine, "connection"):
            mine.connection = _connect(url)
            connections.append(mine.connection)
        start = time.perf_counter()
        predictions = _post(mine.connection, url, body)
        return time.perf_counter() - start, predictions

    with ThreadPoolExecutor(callers) as pool:
        start = time.perf_counter()
        results = list(pool.map(call, bodies))
        wall = time.perf_counter() - start
    for connection in connections:
        connection.close()
    return Answers(
        np.concatenate([np.asarray(predictions) for _, predictions in results]),
        wall,
        np.asarray([seconds for seconds, _ in results]),
    )


def _connect(url: str) -> http.client.HTTPConnection:
    address = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=30)


def _post(connection: http.client.HTTPConnection, url: str, body: bytes) -> list[list[float]]:
    path = urllib.parse.urlsplit(url).path
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise ConnectionError(f"{url} answered {response.status}: {answer[:300].decode(errors='replace')}")
    predictions: list[list[float]] = json.loads(answer)["predictions"]
    return predictions
