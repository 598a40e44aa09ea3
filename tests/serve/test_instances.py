"""Requests to model inputs: what is right, and the words for what is wrong."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput, TooLarge
from argosy.serve.model_server.instances import Images, InputLimits, decode_instances
from argosy.serve.model_server.predict import PredictCall, parse_predict
from argosy.serve.model_server.served import Served
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec

from .models import b64, encode, pixels

PREPROCESSING = ImagePreprocessing(28, 28)
PNG = encode(pixels()[0])


class NoModel:
    """Says what it takes, and is never run."""

    platform = "none"
    preprocessing = PREPROCESSING
    labels = ()
    signatures: Mapping[str, Signature] = {
        DEFAULT_SIGNATURE: Signature(
            (TensorSpec("images", "FP32", (-1, 28, 28, 1)),), (TensorSpec("classes", "FP32", (-1, 10)),), True
        )
    }

    def run(self, inputs: Tensors, signature: str, outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        raise NotImplementedError

    def warm_up(self) -> None:
        raise NotImplementedError


SERVED = Served(NoModel(), ("digits",))


def _parse(body: bytes) -> PredictCall:
    return parse_predict(SERVED, body)


def _decode(*instances: Any) -> Images:
    return _parse(json.dumps({"instances": instances}).encode()).inputs()["images"]


def test_every_way_to_write_an_image_gives_the_same_input() -> None:
    image = pixels()[0]
    encoded = b64(PNG)
    ways: list[Any] = [encoded, {"image_bytes": encoded}, image.tolist(), image[..., np.newaxis].tolist()]
    inputs = [_decode(way) for way in ways]
    assert inputs[0].shape == (1, 28, 28, 1)
    assert inputs[0].dtype == np.float32
    np.testing.assert_array_equal(inputs[0][0, ..., 0], image.astype(np.float32) * np.float32(1 / 255))
    for other in inputs[1:]:
        np.testing.assert_array_equal(inputs[0], other)


def test_base64_with_line_breaks_is_read() -> None:
    text = base64.encodebytes(PNG).decode()
    assert "\n" in text
    np.testing.assert_array_equal(_decode({"b64": text}), _decode(b64(PNG)))


BAD_BODIES = [
    (b"", "the request has no body"),
    (b'{"instances": [1,', "malformed JSON at line 1, column 18"),
    (b'{"instances":\n [NaN]}', "malformed JSON at line 2, column 3: NaN is not a JSON number"),
    (b'{"instances": [-Infinity]}', "column 17: Infinity is not a JSON number"),
    (b'\xff{"instances": [1]}', "malformed JSON at line 1"),
    (b"[1]", "the request is a list, expected an object"),
    (b'{"input": [1], "x": 2}', "has no 'instances' (it has 'input', 'x')"),
    (b'{"inputs": [1], "instances": [1]}', "has both 'instances' and 'inputs'"),
    (b'{"inputs": {"other": [1]}}', "'inputs' is an object, expected a list"),
    (b'{"instances": [1], "signature_name": "train"}', "has no signature 'train'"),
    (b'{"instances": [1], "signature_name": 3}', "signature_name is a number, expected text"),
    (b'{"instances": [1], "parameters": [1]}', "parameters is a list, expected an object"),
    (b'{"instances": [1], "parameters": {"labels": 1}}', "parameters.labels is a number"),
    (b'{"instances": [1], "parameters": {"labels": true}}', "the model has no labels"),
    (b'{"instances": {"b64": ""}}', "'instances' is an object, expected a list"),
    (b'{"instances": []}', "'instances' is an empty list"),
]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES, ids=[message for _, message in BAD_BODIES])
def test_a_body_that_is_wrong_is_refused_with_its_place(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _parse(body)
    assert message in caught.value.message
    assert caught.value.hint


ROW = [0] * 28
BAD_INSTANCES: list[tuple[list[Any], str]] = [
    ([[ROW] * 27], "instances[0] has shape [27, 28], expected [28, 28] or [28, 28, 1]"),
    ([[ROW] * 28, [ROW] * 3], "instances[1] has shape [3, 28], expected"),
    ([[*[ROW] * 27, [0] * 5]], "instances[0] is not a regular array of numbers"),
    ([[[["x"]] * 28] * 28], "instances[0] is not a regular array of numbers"),
    ([[[[True]] * 28] * 28], "instances[0] is not a regular array of numbers"),
    ([[*[ROW] * 27, [*[0] * 27, 256]]], "instances[0][27][27] is 256, expected a pixel from 0 to 255"),
    ([[ROW] * 28, [[-1, *[0] * 27], *[ROW] * 27]], "instances[1][0][0] is -1, expected a pixel"),
    ([[[]]], "instances[0] has shape [1, 0], expected"),
    ([[]], "instances[0] has shape [0], expected"),
    ([[ROW] * 28, b64(PNG)], "instances[1] is an object, but instances[0] is a list of numbers"),
    ([b64(PNG), [ROW] * 28], "instances[1] is a list, expected {'b64': ...}"),
    ([None], "instances[0] is null, expected"),
    ([{"image": 1}], "instances[0] is an object with ['image'], expected"),
    ([{"b64": 3}], "instances[0].b64 is a number, expected base64 text"),
    ([{"b64": ""}], "instances[0].b64 is an empty text"),
    ([{"b64": "%%%"}], "instances[0].b64 is not base64"),
    ([{"b64": "data:image/png;base64,AAAA"}], "instances[0].b64 is not base64"),
    ([b64(b"hello")], "instances[0]: the image starts with 0x68656c6c; expected PNG, JPEG, GIF, BMP or WebP"),
    ([b64(PNG), b64(PNG[:300])], "instances[1]: the image is damaged or cut short"),
]


@pytest.mark.parametrize(("instances", "message"), BAD_INSTANCES, ids=[text for _, text in BAD_INSTANCES])
def test_an_instance_that_is_wrong_is_named_by_its_position(instances: list[Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _decode(*instances)
    assert message in caught.value.message
    assert caught.value.hint


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says it has this size, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_an_image_of_100_megapixels_is_refused_by_its_header() -> None:
    with pytest.raises(TooLarge, match=r"instances\[0\]: the image has 10000 x 10000 pixels"):
        _decode(b64(_png_header(10_000, 10_000)))


def test_many_large_images_in_one_request_are_refused_together() -> None:
    large = b64(encode(np.zeros((3000, 3000), np.uint8)))
    limits = InputLimits(request_pixels=20_000_000)
    with pytest.raises(TooLarge, match=r"instances\[0\] to instances\[2\] hold 27000000 pixels together"):
        decode_instances([large] * 12, PREPROCESSING, limits)


def test_more_instances_than_memory_has_room_for_are_refused_by_their_number() -> None:
    with pytest.raises(TooLarge, match="holds 15000000 instances, at most 42799 are taken"):
        decode_instances([0] * 15_000_000, PREPROCESSING, InputLimits())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["b64", "image_bytes", "x"]), inner)
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_no_json_value_raises_anything_but_our_errors(value: Any) -> None:
    with suppress(InvalidInput, TooLarge):
        _parse(json.dumps({"instances": value}).encode()).inputs()
    with suppress(InvalidInput, TooLarge):
        _parse(json.dumps({"inputs": value}).encode()).inputs()


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_our_errors(body: bytes) -> None:
    with suppress(InvalidInput):
        _parse(body)
