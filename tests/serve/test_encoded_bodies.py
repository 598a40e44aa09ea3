"""Bodies that callers compressed: read where they are whole and small enough, refused in words otherwise."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton

from argosy.errors import InvalidInput, TooLarge
from argosy.serve.http.encodings import decoded

from .calm_model import MODULE
from .harness import asynchronous
from .replicas import Replica, replica

PREDICT = "/v1/models/digits:predict"
PLAIN = json.dumps({"instances": [[0.5, -0.5]]}).encode()
LIMIT = 32 * 2**20


async def told(served: Replica, body: bytes, encoding: str) -> tuple[int, str]:
    response = await served.ask("POST", PREDICT, body, content_encoding=encoding)
    return response.status, json.loads(response.body).get("error", "")


@pytest.mark.slow
@asynchronous
async def test_a_replica_reads_compressed_bodies_and_names_what_is_wrong_with_others(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served:
        for body, encoding in (
            (PLAIN, "identity"),
            (gzip.compress(PLAIN), "GZIP"),
            (zlib.compress(PLAIN), "deflate"),
        ):
            assert await told(served, body, encoding) == (200, "")
        status, error = await told(served, PLAIN, "br")
        assert (status, error) == (415, "the body is encoded as 'br', which is not read here")
        status, error = await told(served, gzip.compress(PLAIN)[:-9], "gzip")
        assert (status, error) == (400, "the gzip body is cut short")
        status, error = await told(served, gzip.compress(bytes(LIMIT + 1)), "gzip")
        assert (status, error.startswith(f"the request body is more than {LIMIT} bytes")) == (413, True)
        assert await told(served, PLAIN, "identity") == (200, "")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@asynchronous
async def test_tritonclient_may_compress_what_it_asks(tmp_path: Path, algorithm: str) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served:
        values = np.array([[0.5, -0.5]], np.float32)
        given = triton.InferInput("x", [1, 2], "FP32")
        given.set_data_from_numpy(values)
        client = triton.InferenceServerClient(f"127.0.0.1:{served.port}")
        answer = client.infer("digits", [given], request_compression_algorithm=algorithm)
        client.close()
        assert np.allclose(answer.as_numpy("y"), np.tanh(values))


def test_a_body_is_unpacked_no_further_than_its_limit() -> None:
    assert decoded(gzip.compress(bytes(1000)), "gzip", 1000) == bytes(1000)
    with pytest.raises(TooLarge, match="more than 999 bytes"):
        decoded(gzip.compress(bytes(1000)), "gzip", 999)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is cut short"),
        (PLAIN, "the body is not gzip"),
        (gzip.compress(PLAIN)[:-1], "is cut short"),
        (gzip.compress(PLAIN) + b"more", "followed by other bytes"),
    ],
)
def test_a_body_that_is_not_what_it_is_called_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        decoded(body, "gzip", LIMIT)
