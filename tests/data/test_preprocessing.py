"""Images to what a model reads; what is refused."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from argosy.data import ImageLimits, ImagePreprocessing
from argosy.errors import InvalidInput, TooLarge

PREPROCESSING = ImagePreprocessing(height=28, width=28)
RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (28, 28), np.uint8)
COLOUR = RANDOM.integers(0, 256, (28, 28, 3), np.uint8)


def encoded(pixels: np.ndarray | Image.Image, format: str = "PNG", **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size; its pixels are not there."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def luma(rgb: np.ndarray) -> np.ndarray:
    weighted = rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 32768) >> 16).astype(np.uint8)


def test_a_png_gives_the_same_as_its_pixels() -> None:
    expected = PREPROCESSING.from_arrays(GREY[np.newaxis])[0]
    assert expected.shape == (28, 28, 1)
    assert expected.dtype == np.float32
    assert (expected.min(), expected.max()) == (GREY.min() / np.float32(255), 1.0)
    assert np.array_equal(PREPROCESSING.decode(encoded(GREY)), expected)


VARIANTS = {
    "interlaced": encoded(GREY, optimize=True),
    "grey and transparency": encoded(Image.merge("LA", [Image.fromarray(GREY)] * 2)),
    "colour": encoded(COLOUR),
    "colour and transparency": encoded(np.dstack([COLOUR, GREY])),
    "palette": encoded(Image.fromarray(COLOUR).quantize(64)),
    "black and white": encoded(Image.fromarray(GREY).convert("1")),
    "16 bits": encoded(Image.fromarray(GREY.astype(np.uint16) * 256 + 77)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_png_becomes_grey_by_the_stated_rule(variant: str) -> None:
    data = VARIANTS[variant]
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I"):
        expected = GREY
    elif image.mode in ("L", "LA"):
        expected = np.asarray(image.convert("LA"))[..., 0]
    else:
        expected = luma(np.asarray(image.convert("RGB")))
    assert np.array_equal(PREPROCESSING.decode(data), PREPROCESSING.from_arrays(expected[np.newaxis])[0])


def test_the_luma_rule_is_that_of_the_standard_for_every_colour() -> None:
    values = np.arange(0, 256, 5, np.uint8)
    rgb = np.stack(np.meshgrid(values, values, values), -1).reshape(52, -1, 3)
    rule = ImagePreprocessing(*rgb.shape[:2], scale=1.0)
    assert np.array_equal(rule.decode(encoded(rgb))[..., 0], luma(rgb))


def test_three_channels_stay_three() -> None:
    rule = ImagePreprocessing(28, 28, channels=3, scale=1.0)
    assert np.array_equal(rule.decode(encoded(COLOUR)), COLOUR)
    assert np.array_equal(rule.decode(encoded(GREY)), np.repeat(GREY[..., np.newaxis], 3, -1))
    assert np.array_equal(rule.from_arrays(COLOUR[np.newaxis])[0], COLOUR)


def test_another_size_is_stretched_smoothly() -> None:
    ramp = np.tile(np.linspace(0, 255, 280).astype(np.uint8), (140, 1))
    found = PREPROCESSING.decode(encoded(ramp))
    assert found.shape == (28, 28, 1)
    assert np.allclose(found[:, :, 0], np.linspace(0, 1, 29)[:-1] + 1 / 56, atol=0.02)
    one = PREPROCESSING.decode(encoded(np.full((1, 1), 200, np.uint8)))
    assert np.allclose(one, 200 / 255)


def test_a_jpeg_is_read() -> None:
    smooth = np.tile(np.arange(28, dtype=np.uint8) * 9, (28, 1))
    found = PREPROCESSING.decode(encoded(smooth, "JPEG", quality=95))
    assert np.abs(found[..., 0] * 255 - smooth).max() < 6


def test_an_image_of_100_megapixels_is_refused_before_it_is_decoded() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TooLarge, match="10000 x 10000 pixels; expected at most 16,000,000"):
            PREPROCESSING.decode(png_of_size(10_000, 10_000))
        with pytest.raises(TooLarge):
            PREPROCESSING.decode(png_of_size(2**31 - 1, 2**31 - 1))


def test_the_limits_are_the_callers() -> None:
    with pytest.raises(TooLarge, match="28 x 28 pixels"):
        PREPROCESSING.decode(encoded(GREY), ImageLimits(pixels=783))
    with pytest.raises(TooLarge, match="bytes long; expected at most 100"):
        PREPROCESSING.decode(encoded(GREY), ImageLimits(bytes=100))


NOT_IMAGES = {
    "nothing": b"",
    "text": b"not an image",
    "a TIFF": encoded(GREY, "TIFF"),
    "only the start of a PNG": b"\x89PNG\r\n\x1a\n",
    "only the start of a JPEG": b"\xff\xd8\xff\xe0",
    "a PNG without pixels": png_of_size(28, 28),
    "a PNG of no size": png_of_size(0, 28),
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_what_is_not_an_image_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PREPROCESSING.decode(NOT_IMAGES[name])
    assert "image" in caught.value.message
    assert caught.value.hint


@given(cut=st.integers(0, len(encoded(GREY)) - 1))
def test_a_png_cut_before_its_end_marker_is_refused(cut: int) -> None:
    with pytest.raises(InvalidInput):
        PREPROCESSING.decode(encoded(GREY)[:cut])


JPEG = encoded(np.kron(GREY, np.ones((8, 8), np.uint8)), "JPEG")


@given(cut=st.integers(0, len(JPEG) - 1))
def test_a_jpeg_cut_before_its_end_marker_is_refused(cut: int) -> None:
    with pytest.raises(InvalidInput):
        PREPROCESSING.decode(JPEG[:cut])


@given(start=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b""]), rest=st.binary(max_size=300))
def test_garbage_is_refused_and_never_crashes(start: bytes, rest: bytes) -> None:
    with pytest.raises((InvalidInput, TooLarge)):
        PREPROCESSING.decode(start + rest)


@given(at=st.integers(8, len(encoded(COLOUR)) - 1), value=st.integers(0, 255))
def test_a_damaged_png_is_an_image_or_refused(at: int, value: int) -> None:
    data = bytearray(encoded(COLOUR))
    data[at] = value
    try:
        found = PREPROCESSING.decode(bytes(data))
    except (InvalidInput, TooLarge):
        return
    assert found.shape == (28, 28, 1)


def test_arrays_of_other_number_types_are_taken() -> None:
    expected = PREPROCESSING.from_arrays(GREY[np.newaxis])
    for kind in (np.int64, np.float32, np.float64, np.uint16):
        assert np.array_equal(PREPROCESSING.from_arrays(GREY[np.newaxis].astype(kind)), expected)
    assert np.array_equal(PREPROCESSING.from_arrays([GREY.tolist()]), expected)
    assert np.array_equal(PREPROCESSING.from_arrays(GREY[np.newaxis, ..., np.newaxis]), expected)
    out = np.empty((1, 28, 28, 1), np.float32)
    assert PREPROCESSING.from_arrays(GREY[np.newaxis], out) is out


@pytest.mark.parametrize(
    "pixels",
    [
        GREY,
        GREY[np.newaxis, :27],
        np.zeros((2, 28, 28, 3), np.uint8),
        np.full((1, 28, 28), 256.0),
        np.full((1, 28, 28), -0.1),
        np.full((1, 28, 28), np.nan),
        np.full((1, 28, 28), "7"),
        np.zeros((1, 28, 28), bool),
        [[1, 2], [3]],
        None,
        5,
        {"a": 1},
    ],
    ids=str,
)
def test_arrays_that_are_no_images_are_refused(pixels: object) -> None:
    with pytest.raises(InvalidInput):
        PREPROCESSING.from_arrays(pixels)  # type: ignore[arg-type]


def test_no_images_give_no_images() -> None:
    assert PREPROCESSING.from_arrays(np.zeros((0, 28, 28), np.uint8)).shape == (0, 28, 28, 1)


def test_the_json_form_is_fixed_and_comes_back() -> None:
    text = PREPROCESSING.to_json()
    assert text == (
        '{"kind":"image","height":28,"width":28,"channels":1,"scale":0.00392156862745098,"offset":0.0}'
    )
    assert ImagePreprocessing.from_json(text) == PREPROCESSING
    shifted = ImagePreprocessing(4, 6, 3, 1 / 127.5, -1.0)
    assert ImagePreprocessing.from_json(shifted.to_json()) == shifted
    assert np.allclose(shifted.from_arrays(np.full((1, 4, 6, 3), 255, np.uint8)), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"kind":"text","height":28,"width":28}',
        '{"kind":"image","height":"x","width":28}',
        '{"kind":"image","height":0,"width":28}',
        '{"kind":"image","height":28,"width":28,"channels":2}',
        '{"kind":"image","height":28,"width":28,"mean":3}',
    ],
)
def test_another_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        ImagePreprocessing.from_json(text)
