"""Encoded images to pixels: which format it is, whether it is within limits and whole, and what it shows.

Before a library reads a file its size is taken from the header, and the number of its parts is bounded: a
file of ten million tiny parts would otherwise keep an interpreter busy for seconds.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin

from argosy.data import image_parts
from argosy.errors import InvalidInput, TooLarge

Bytes = npt.NDArray[np.uint8]

_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError,
    OverflowError, struct.error, zlib.error,
)  # fmt: skip
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an encoded image may be at most; pixels are counted from the header, before decoding."""

    bytes: int = 10 * 2**20
    pixels: int = 16_000_000


@dataclass(frozen=True, slots=True)
class _Format:
    name: str
    starts: Callable[[bytes], bool]
    open: Callable[[bytes, ImageLimits], Image.Image]
    pixels: Callable[[Image.Image], Image.Image | Bytes]


def read(encoded: bytes, channels: int, limits: ImageLimits) -> Bytes:
    """uint8[h, w] for one channel, uint8[h, w, 3] for three, of the first image in the file.

    Raises TooLarge above ``limits``, InvalidInput for what is not an image, is damaged or is cut short.
    """
    check_bytes(encoded, limits)
    kind = _format_of(encoded)
    try:
        with kind.open(encoded, limits) as image:
            check_pixels(*image.size, limits)
            return _as_channels(kind.pixels(image), channels)
    except _BOMB:
        raise TooLarge(
            f"the {kind.name} image has far more than {limits.pixels:,} pixels",
            hint="scale the image down before sending it",
        ) from None
    except _DAMAGE as error:
        raise InvalidInput(
            f"the image is damaged or cut short ({error or type(error).__name__})",
            hint=f"send the whole {kind.name} file, unchanged",
        ) from None


def check_bytes(encoded: bytes, limits: ImageLimits) -> None:
    """Raises TooLarge."""
    if len(encoded) > limits.bytes:
        raise TooLarge(
            f"the image is {len(encoded)} bytes long; expected at most {limits.bytes}",
            hint="send a smaller image",
            context={"found": len(encoded), "expected": limits.bytes},
        )


def check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    """Raises TooLarge."""
    if width * height > limits.pixels:
        raise TooLarge(
            f"the image has {width} x {height} pixels; expected at most {limits.pixels:,} in all",
            hint="scale the image down before sending it",
            context={"found": [width, height], "expected": limits.pixels},
        )


def packed_pixels(encoded: bytes) -> int:
    """The pixels a file claims in its header, 0 for a JPEG and for what is no image.

    All formats but JPEG pack a single colour a thousandfold: their bytes say little of the work in them.
    """
    try:
        if encoded.startswith(b"\x89PNG"):
            return int.from_bytes(encoded[16:20], "big") * int.from_bytes(encoded[20:24], "big")
        if encoded.startswith(b"GIF8"):
            return int.from_bytes(encoded[6:8], "little") * int.from_bytes(encoded[8:10], "little")
        if _starts_webp(encoded):
            width, height = image_parts.size_of_webp(encoded)
            return width * height
    except (EOFError, ValueError):
        return 0
    return 0


def _format_of(encoded: bytes) -> _Format:
    for kind in _FORMATS:
        if kind.starts(encoded):
            return kind
    start = f"starts with 0x{encoded[:4].hex()}" if encoded else "is empty"
    names = "PNG, JPEG, GIF, BMP or WebP"
    raise InvalidInput(f"the image {start}; expected {names}", hint=f"send a {names} file")


# The format classes themselves, not Image.open: that loads every plug-in, and warns about, rather than
# refuses, images below twice its own limit.


def _open_png(encoded: bytes, limits: ImageLimits) -> Image.Image:
    image_parts.check_png(encoded)
    return PngImagePlugin.PngImageFile(io.BytesIO(encoded))


def _open_jpeg(encoded: bytes, limits: ImageLimits) -> Image.Image:
    image_parts.check_jpeg(encoded)
    return JpegImagePlugin.JpegImageFile(io.BytesIO(encoded))


def _open_gif(encoded: bytes, limits: ImageLimits) -> Image.Image:
    return GifImagePlugin.GifImageFile(io.BytesIO(image_parts.first_frame_of_gif(encoded)))


def _open_bmp(encoded: bytes, limits: ImageLimits) -> Image.Image:
    image_parts.check_bmp(encoded)
    return BmpImagePlugin.BmpImageFile(io.BytesIO(encoded))


def _open_webp(encoded: bytes, limits: ImageLimits) -> Image.Image:
    # Opening one makes room for its pixels.
    check_pixels(*image_parts.size_of_webp(encoded), limits)
    from PIL import WebPImagePlugin

    return WebPImagePlugin.WebPImageFile(io.BytesIO(encoded))


def _plain_pixels(image: Image.Image) -> Image.Image | Bytes:
    if image.mode.startswith("I"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode == "CMYK":
        # Pillow rounds here where ``tf.io.decode_jpeg`` cuts.
        left = 255 - np.asarray(image, np.uint16)
        return Image.fromarray((left[..., :3] * left[..., 3:] // 255).astype(np.uint8))
    return image


def _gif_pixels(image: Image.Image) -> Image.Image | Bytes:
    """What the first frame leaves open or marks as transparent is black, as ``tf.io.decode_gif`` has it."""
    left, top, right, bottom = image.tile[0][1] or (0, 0, *image.size)  # type: ignore[attr-defined]
    transparent = image.info.get("transparency")
    covered = np.zeros((image.height, image.width), bool)
    covered[top:bottom, left:right] = True
    if image.mode == "P":
        numbers = np.asarray(image)
        palette = np.zeros((256, 3), np.uint8)
        colours = np.frombuffer(image.palette.getdata()[1], np.uint8).reshape(-1, 3)  # type: ignore[union-attr]
        palette[: len(colours)] = colours
        rgb = palette[numbers]
    else:
        numbers = np.asarray(image.convert("L"))
        rgb = np.repeat(numbers[..., np.newaxis], 3, axis=-1)
    if isinstance(transparent, int):
        covered &= numbers != transparent
    rgb[~covered] = 0
    return Image.fromarray(rgb)


def _as_channels(pixels: Image.Image | Bytes, channels: int) -> Bytes:
    if not isinstance(pixels, Image.Image):
        return pixels if channels == 1 else np.repeat(pixels[..., np.newaxis], 3, axis=-1)
    if pixels.mode == "L" and channels == 1:
        return np.asarray(pixels, np.uint8)
    rgb = pixels.convert("RGB")
    return np.asarray(rgb.convert("L") if channels == 1 else rgb, np.uint8)


def _starts_webp(encoded: bytes) -> bool:
    return encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP"


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda encoded: encoded.startswith(magic)


_FORMATS: tuple[_Format, ...] = (
    _Format("JPEG", _starts(b"\xff\xd8\xff"), _open_jpeg, _plain_pixels),
    _Format("PNG", _starts(b"\x89PNG\r\n\x1a\n"), _open_png, _plain_pixels),
    _Format("GIF", _starts(b"GIF87a", b"GIF89a"), _open_gif, _gif_pixels),
    _Format("BMP", _starts(b"BM"), _open_bmp, _plain_pixels),
    _Format("WebP", _starts_webp, _open_webp, _plain_pixels),
)
