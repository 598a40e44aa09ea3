"""Every format and colour mode of an image, files that lie, and bombs."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from argosy.data import ImageLimits, ImagePreprocessing, image_files, image_shortcut
from argosy.errors import InvalidInput, TooLarge

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (28, 28), np.uint8)
COLOUR = RANDOM.integers(0, 256, (28, 28, 3), np.uint8)
ALPHA = RANDOM.integers(0, 256, (28, 28), np.uint8)
FEW = Image.fromarray(COLOUR).quantize(200)
ONE = ImagePreprocessing(28, 28, 1, scale=1.0)
THREE = ImagePreprocessing(28, 28, 3, scale=1.0)


def encoded(image: np.ndarray | Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def luma(rgb: np.ndarray) -> np.ndarray:
    weighted = rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 32768) >> 16).astype(np.uint8)


BILEVEL = Image.fromarray(GREY).convert("1")
BLACK_OR_WHITE = np.asarray(BILEVEL.convert("RGB"))
AS_RGB = np.repeat(GREY[..., np.newaxis], 3, -1)
FEW_COLOURS = np.asarray(FEW.convert("RGB"))
LOSSLESS: dict[str, tuple[bytes, np.ndarray]] = {
    "a grey GIF": (encoded(GREY, "GIF"), AS_RGB),
    "a palette GIF": (encoded(FEW, "GIF"), FEW_COLOURS),
    "an interlaced GIF": (encoded(FEW, "GIF", interlace=True), FEW_COLOURS),
    "a bilevel GIF": (encoded(BILEVEL, "GIF"), BLACK_OR_WHITE),
    "a grey BMP": (encoded(GREY, "BMP"), AS_RGB),
    "a colour BMP": (encoded(COLOUR, "BMP"), COLOUR),
    "a palette BMP": (encoded(FEW, "BMP"), FEW_COLOURS),
    "a bilevel BMP": (encoded(BILEVEL, "BMP"), BLACK_OR_WHITE),
    "a BMP with transparency": (encoded(np.dstack([COLOUR, ALPHA]), "BMP"), COLOUR),
    "a WebP": (encoded(COLOUR, "WEBP", lossless=True), COLOUR),
    "a grey WebP": (encoded(GREY, "WEBP", lossless=True), AS_RGB),
    "a WebP with transparency": (
        encoded(np.dstack([COLOUR, ALPHA]), "WEBP", lossless=True, exact=True), COLOUR,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_format_shows_its_pixels(name: str) -> None:
    data, rgb = LOSSLESS[name]
    assert np.array_equal(THREE.decode(data), rgb)
    assert np.array_equal(ONE.decode(data)[..., 0], luma(rgb))


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_format_is_resized_alike(name: str) -> None:
    data, rgb = LOSSLESS[name]
    rule = ImagePreprocessing(13, 40, 3)
    assert np.array_equal(rule.decode(data), rule.decode(encoded(rgb, "PNG")))


def test_a_lossy_webp_is_close_to_its_pixels() -> None:
    smooth = np.add.outer(np.arange(28) * 4, np.arange(28) * 4).astype(np.uint8)
    assert np.abs(ONE.decode(encoded(smooth, "WEBP", quality=95))[..., 0] - smooth).max() < 8


def test_what_a_gif_marks_as_transparent_is_black() -> None:
    numbers = (np.arange(784).reshape(28, 28) % 4).astype(np.uint8)
    image = Image.fromarray(numbers, "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    expected = np.asarray(image.convert("RGB")).copy()
    expected[numbers == 2] = 0
    assert np.array_equal(THREE.decode(encoded(image, "GIF", transparency=2)), expected)


def gif_of_a_frame(canvas: tuple[int, int], left: int, top: int, image: Image.Image) -> bytes:
    """The frame of another GIF put at a place on a canvas."""
    data = bytearray(encoded(image, "GIF"))
    data[6:10] = struct.pack("<HH", *canvas)
    at = data.index(b",", 13 + (3 << (data[10] & 7) + 1))
    data[at + 1 : at + 5] = struct.pack("<HH", left, top)
    return bytes(data)


def test_what_the_first_frame_of_a_gif_leaves_open_is_black() -> None:
    frame = FEW.resize((10, 8))
    found = THREE.decode(gif_of_a_frame((28, 28), 5, 6, frame))
    expected = np.zeros((28, 28, 3))
    expected[6:14, 5:15] = np.asarray(frame.convert("RGB"))
    assert np.array_equal(found, expected)


FRAMES = [Image.fromarray(RANDOM.integers(0, 256, (28, 28), np.uint8)) for _ in range(5)]


@pytest.mark.parametrize(
    ("format", "options"),
    [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {"default_image": False})],
)
def test_an_animation_is_its_first_frame(format: str, options: dict[str, Any]) -> None:
    data = encoded(FRAMES[0], format, save_all=True, append_images=FRAMES[1:], **options)
    assert np.array_equal(ONE.decode(data)[..., 0], np.asarray(FRAMES[0]))


def test_the_frames_behind_the_first_are_never_read() -> None:
    data = encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])
    first = encoded(FRAMES[0], "GIF")
    assert np.array_equal(ONE.decode(data[: len(first) + 40] + b"\xff" * 1000), ONE.decode(first))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_every_mode_that_a_format_stores_is_read(mode: str, format: str) -> None:
    if mode.startswith("I"):
        image = Image.fromarray(GREY.astype(np.uint16) * 256)
        image = image if mode == "I;16" else image.convert("I")
    else:
        image = Image.fromarray(COLOUR).convert(mode)
    try:
        data = encoded(image, format)
    except (OSError, KeyError, ValueError):
        pytest.skip(f"{format} has no mode {mode}")
    assert ONE.decode(data).shape == (28, 28, 1)
    assert ImagePreprocessing(9, 31, 3).decode(data).shape == (9, 31, 3)


def small_png(interlaced: bool, **extra: bytes) -> bytes:
    """A grey PNG with chunks of one's own before the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, int(interlaced))
    # Two rows of two; interlaced by Adam7: the passes that are not empty are 1, 6 and 7.
    rows = b"\0\x01\0\x02\0\x03\x04" if interlaced else b"\0\x01\x02\0\x03\x04"
    chunks = b"".join(chunk(kind.encode(), body) for kind, body in extra.items())
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("extra", [{}, {"tEXt": b"a\0b"}, {"tRNS": b"\0\1"}])
def test_unusual_pngs_show_their_pixels(interlaced: bool, extra: dict[str, bytes]) -> None:
    rule = ImagePreprocessing(2, 2, scale=1.0)
    assert rule.decode(small_png(interlaced, **extra))[..., 0].tolist() == [[1, 2], [3, 4]]


pictures = st.builds(
    lambda height, width, channels, seed: np.random.default_rng(seed).integers(
        0, 256, (height, width) if channels == 1 else (height, width, 3), np.uint8
    ),
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 10_000),
)  # fmt: skip
TURNED = Image.Exif()
TURNED[0x0112] = 6  # orientation
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("PNG", {"compress_level": 0}),
    ("JPEG", {"quality": 90}),
    ("JPEG", {"quality": 30, "progressive": True}),
    ("JPEG", {"quality": 75, "subsampling": 0, "optimize": True}),
    ("JPEG", {"quality": 80, "comment": b"a comment", "exif": TURNED}),
]


@given(picture=pictures, form=st.sampled_from(FORMS), channels=st.sampled_from([1, 3]))
@settings(max_examples=200, deadline=None)
def test_the_shortcut_gives_the_same_pixels(
    picture: np.ndarray, form: tuple[str, dict[str, Any]], channels: int
) -> None:
    data = encoded(picture, form[0], **form[1])
    height, width = picture.shape[:2]
    quick = image_shortcut.decode(data, height, width, channels)
    assert quick is not None
    found = np.frombuffer(quick, np.uint8)
    assert np.array_equal(found, image_files.read(data, channels, ImageLimits()).ravel())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@given(
    picture=pictures, form=st.sampled_from(FORMS), at=st.integers(0, 2000), value=st.integers(0, 255),
    channels=st.sampled_from([1, 3]),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_alike_or_refused_alike(
    picture: np.ndarray, form: tuple[str, dict[str, Any]], at: int, value: int, channels: int
) -> None:
    data = bytearray(encoded(picture, form[0], **form[1]))
    data[at % len(data)] = value
    quick = image_shortcut.decode(bytes(data), *picture.shape[:2], channels)
    if quick is not None:
        found = np.frombuffer(quick, np.uint8)
        assert np.array_equal(found, image_files.read(bytes(data), channels, ImageLimits()).ravel())


@given(start=st.sampled_from(["GIF", "BMP", "WEBP"]), data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_of_any_format_is_an_image_or_refused(start: str, data: st.DataObject) -> None:
    content = bytearray(encoded(FEW, start))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = ONE.decode(bytes(content))
    except (InvalidInput, TooLarge):
        return
    assert found.shape == (28, 28, 1)


@pytest.mark.parametrize("format", ["GIF", "BMP", "WEBP"])
def test_a_file_that_is_cut_short_is_refused(format: str) -> None:
    data = encoded(COLOUR, format)
    # A GIF is whole with its first frame: the last bytes are the frame's end and the file's.
    for keep in range(len(data) - (3 if format == "GIF" else 1)):
        with pytest.raises(InvalidInput):
            THREE.decode(data[:keep])


def test_many_images_are_decoded_as_one_by_one() -> None:
    rule = ImagePreprocessing(28, 28, 1, 1 / 127.5, -1.0)
    plain = [encoded(GREY, "PNG"), encoded(GREY, "JPEG"), encoded(COLOUR, "JPEG")]
    mixed = [*plain, encoded(GREY[:9], "PNG"), *(data for data, _ in LOSSLESS.values())]
    for images in ([], plain, mixed):
        found = rule.decode_many(images)
        assert found.shape == (len(images), 28, 28, 1)
        assert all(np.array_equal(one, rule.decode(data)) for one, data in zip(found, images, strict=True))
    out = np.empty((3, 28, 28, 1), np.float32)
    assert rule.decode_many(plain, out=out) is out
    assert np.array_equal(out[2], rule.decode(plain[2]))


def test_the_image_at_fault_among_many_is_named_by_its_position() -> None:
    with pytest.raises(InvalidInput) as caught:
        ONE.decode_many([encoded(GREY, "PNG"), b"nothing"])
    assert caught.value.context["position"] == 1


def webp_of_size(kind: bytes, size: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", 10) + size
    return b"RIFF" + struct.pack("<I", len(body) + 20) + body + bytes(20)


BOMBS = {
    "a GIF of 65535 x 65535": b"GIF89a" + b"\xff" * 4 + b"\x80\0\0" + bytes(6)
    + b"," + bytes(4) + b"\xff" * 4 + b"\0\x08\x01\0\0;",
    "a GIF whose frame is larger than it says": b"GIF89a" + b"\1\0\1\0" + b"\x80\0\0" + bytes(6)
    + b"," + bytes(4) + b"\xff" * 4 + b"\0\x08\x01\0\0;",
    "a BMP of 100000 x 100000": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 100_000, 100_000,
        1, 24, 0, 0, 0, 0, 0, 0),
    "an extended WebP of 2^24 x 2^24": webp_of_size(b"VP8X", bytes(4) + b"\xff" * 6),
    "a lossless WebP of 16384 x 16384": webp_of_size(b"VP8L", b"\x2f" + b"\xff\xff\xff\x0f" + bytes(5)),
    "a lossy WebP of 16383 x 16383": webp_of_size(b"VP8 ", b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"),
}  # fmt: skip


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    with pytest.raises(TooLarge, match="pixels"):
        ONE.decode(BOMBS[name])


GIF = encoded(FEW, "GIF")
PNG = encoded(GREY, "PNG")
JPEG = encoded(GREY, "JPEG")
PARTS = {
    "a GIF of a million comments": GIF[: 13 + 768] + b"!\xfe\x01a\0" * 1_000_000 + GIF[13 + 768 :],
    "a GIF with a comment of a million pieces": GIF[: 13 + 768] + b"!\xfe" + b"\x01a" * 1_000_000 + b"\0,",
    "a PNG of a million chunks": PNG[:33] + b"\0\0\0\0teXt\xa4\x5f\xe1\x21" * 800_000 + PNG[33:],
    "a JPEG of a million segments": JPEG[:2] + b"\xff\xfe\0\2" * 1_000_000 + JPEG[2:],
    "a JPEG with megabytes of nothing": JPEG[:20] + bytes(5_000_000) + JPEG[20:],
    "a JPEG of a hundred thousand scans": JPEG[:-2]
    + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" * 100_000
    + JPEG[-2:],
}


@pytest.mark.parametrize("name", PARTS)
def test_a_file_of_far_too_many_parts_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="it has more than"):
        ONE.decode(PARTS[name])


def test_what_stands_behind_the_end_of_a_jpeg_is_passed_over() -> None:
    # Phones put a film there.
    assert np.array_equal(ONE.decode(JPEG + b"\xff\xda" * 1_000), ONE.decode(JPEG))


def test_an_end_marker_in_a_comment_is_no_end() -> None:
    commented = JPEG[:2] + b"\xff\xfe\0\4\xff\xd9" + JPEG[2:]
    assert np.array_equal(ONE.decode(commented), ONE.decode(JPEG))
    with pytest.raises(InvalidInput, match="its end marker is missing"):
        ONE.decode(commented[:-2])


def test_a_compressed_bmp_is_refused_with_the_mend() -> None:
    data = bytearray(encoded(GREY, "BMP"))
    data[30] = 1
    with pytest.raises(InvalidInput, match="its compression 1 is not read; save it uncompressed"):
        ONE.decode(bytes(data))


def test_the_pixels_a_file_claims_are_read_from_its_header() -> None:
    tall = np.zeros((30, 20, 3), np.uint8)
    for format in ("PNG", "GIF", "WEBP"):
        assert image_files.packed_pixels(encoded(tall, format)) == 600
    lossless = encoded(tall, "WEBP", lossless=True)
    animated = encoded(
        Image.fromarray(tall), "WEBP", save_all=True, append_images=[Image.fromarray(tall + 1)]
    )
    assert image_files.packed_pixels(lossless) == image_files.packed_pixels(animated) == 600
    for other in (encoded(tall, "JPEG"), b"", b"GIF8", b"RIFF\0\0\0\0WEBP", b"\x89PNG"):
        assert image_files.packed_pixels(other) == 0


def test_the_formats_that_are_not_read_are_told_the_ones_that_are() -> None:
    with pytest.raises(InvalidInput, match="expected PNG, JPEG, GIF, BMP or WebP"):
        ONE.decode(encoded(GREY, "TIFF"))
