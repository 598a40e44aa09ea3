"""Whether a server answers rightly: its probabilities are ONNX Runtime's, for every picture."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3


class Client:
    """One connection that is kept."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout: float = 30.0) -> None:
        address = urllib.parse.urlsplit(url)
        self._path = address.path
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._connection = http.client.HTTPConnection(
            address.hostname or "127.0.0.1", address.port, timeout=timeout
        )

    def post(self, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", self._path, body, self._headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()


def probabilities(answer: bytes) -> NDArray[np.float64]:
    """The rows of an answer: KServe's V1, the Open Inference Protocol's, or a bare list."""
    document: Any = json.loads(answer)
    if isinstance(document, dict) and "outputs" in document:
        (output,) = document["outputs"]
        return np.asarray(output["data"], np.float64).reshape(output["shape"])
    rows = document["predictions"] if isinstance(document, dict) else document
    return np.asarray(rows, np.float64)


def check(url: str, bodies: Sequence[bytes], expected: NDArray[np.float32]) -> None:
    """Raises ConnectionError where a server does not answer, and RuntimeError where it answers wrongly."""
    client = Client(url)
    try:
        for number, body in enumerate(bodies):
            status, answer = client.post(body)
            if status != 200:
                raise RuntimeError(f"answered {status}: {answer[:200].decode(errors='replace')}")
            difference = np.abs(probabilities(answer)[0] - expected[number]).max()
            if not difference <= TOLERANCE:
                raise RuntimeError(f"wrong by {difference:.3f} in a probability of picture {number}")
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    except (ValueError, LookupError, TypeError) as error:
        raise RuntimeError(f"the answer is not one of probabilities: {error!r}") from error
    finally:
        client.close()
