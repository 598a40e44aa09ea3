"""Encoded image or pixels to what a model reads: one object for training, serving and the SavedModel.

The rules, in this order, and nowhere else:
  1. PNG or JPEG; the first image; colour profiles and orientation tags are ignored.
  2. 16 bits a channel become 8 by the high byte; transparency is dropped; palettes are looked up; CMYK
     becomes RGB by (255 - C) (255 - K) / 255, cut to an integer, and alike for M and Y.
  3. One channel: luma of ITU-R BT.601 in integers, (19595 R + 38470 G + 7471 B + 32768) >> 16.
  4. A size other than the model's: stretched by a triangle filter whose support grows when it shrinks
     (Pillow's BILINEAR, ``tf.image.resize(..., antialias=True)``), on float32, without rounding.
  5. ``value * scale + offset`` in float32.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, PngImagePlugin

from argosy.errors import InvalidInput, TooLarge

Floats = npt.NDArray[np.float32]

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an encoded image may be at most; pixels are counted from the header, before decoding."""

    bytes: int = 10 * 2**20
    pixels: int = 16_000_000


DEFAULT_LIMITS = ImageLimits()


class ImagePreprocessing(
    msgspec.Struct, frozen=True, tag_field="kind", tag="image", forbid_unknown_fields=True
):
    """How images become ``float32[height, width, channels]``. ``channels`` is 1 (grey) or 3 (RGB)."""

    height: int
    width: int
    channels: int = 1
    scale: float = 1 / 255
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.channels not in (1, 3):
            raise InvalidInput(
                f"preprocessing to {self.height} x {self.width} x {self.channels}; "
                "expected sizes of at least one and one or three channels"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    def from_arrays(self, pixels: npt.ArrayLike, out: Floats | None = None) -> Floats:
        """Pixels 0 to 255, [n, h, w] or [n, h, w, c] of any number type, to float32[n, h, w, c].

        Raises InvalidInput for another shape, for values outside 0 to 255 and for what is no number.
        """
        values = self._checked(pixels).reshape(-1, *self.shape)
        result = np.empty(values.shape, np.float32) if out is None else out
        np.multiply(values, np.float32(self.scale), out=result, casting="unsafe", dtype=np.float32)
        if self.offset:
            np.add(result, np.float32(self.offset), out=result)
        return result

    def decode(self, encoded: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Floats:
        """A PNG or JPEG to float32[h, w, c].

        Raises TooLarge above ``limits``, InvalidInput for what is not an image, is damaged or is cut short.
        """
        pixels = decode_pixels(encoded, self.channels, limits)
        if pixels.shape[:2] == (self.height, self.width):
            return self._single(pixels)
        return self._single(self._resized(pixels))

    def to_json(self) -> str:
        """The content of ``preprocessing.json`` in a model directory."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> ImagePreprocessing:
        """Inverse of :meth:`to_json`. Raises InvalidInput that says what is wrong."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise InvalidInput(
                f"this is not the preprocessing of images: {error}",
                hint="use the preprocessing.json that was exported with the model",
            ) from None

    def _checked(self, pixels: npt.ArrayLike) -> npt.NDArray[Any]:
        try:
            values = np.asarray(pixels)
        except (ValueError, TypeError, OverflowError):
            values = np.empty(0, object)
        if values.dtype == object or not (
            np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)
        ):
            raise InvalidInput("the images are not a regular array of numbers", hint=self._hint())
        flat, full = (self.height, self.width), self.shape
        if values.ndim < 3 or not (
            values.shape[1:] == full or (self.channels == 1 and values.shape[1:] == flat)
        ):
            raise InvalidInput(
                f"the images have the shape {list(values.shape)}; expected [n, {', '.join(map(str, full))}]",
                hint=self._hint(),
                context={"found": list(values.shape), "expected": ["n", *full]},
            )
        if values.dtype != np.uint8 and not ((values >= 0) & (values <= 255)).all():
            raise InvalidInput(
                f"the images hold values from {values.min()} to {values.max()}; expected 0 to 255",
                hint=self._hint(),
            )
        return values

    def _single(self, pixels: npt.NDArray[Any]) -> Floats:
        return self.from_arrays(pixels[np.newaxis]).reshape(self.shape)

    def _resized(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        channels = [
            Image.fromarray(np.ascontiguousarray(channel, np.float32)).resize(
                (self.width, self.height), Image.Resampling.BILINEAR
            )
            for channel in np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0)
        ]
        stacked = np.stack([np.asarray(channel, np.float32) for channel in channels], axis=-1)
        # A triangle filter on float32 may leave 0 to 255 by an ulp.
        return np.clip(stacked, np.float32(0), np.float32(255))

    def _hint(self) -> str:
        return f"send raw pixels from 0 to 255, {' x '.join(map(str, self.shape))} for each image"


def decode_pixels(
    encoded: bytes, channels: int, limits: ImageLimits = DEFAULT_LIMITS
) -> npt.NDArray[np.uint8]:
    """An encoded image in its own size, by rules 1 to 3: uint8[h, w] for one channel, else uint8[h, w, 3].

    Raises TooLarge above ``limits``, InvalidInput for what is not an image, is damaged or is cut short.
    """
    if len(encoded) > limits.bytes:
        raise TooLarge(
            f"the image is {len(encoded)} bytes long; expected at most {limits.bytes}",
            hint="send a smaller image",
            context={"found": len(encoded), "expected": limits.bytes},
        )
    with _open(encoded) as image:
        width, height = image.size
        if width * height > limits.pixels:
            raise TooLarge(
                f"the image has {width} x {height} pixels; expected at most {limits.pixels:,} in all",
                hint="scale the image down before sending it",
                context={"found": [width, height], "expected": limits.pixels},
            )
        return _pixels(image, channels)


def _open(encoded: bytes) -> Image.Image:
    # The format classes themselves, not Image.open: that loads every plug-in, and warns about, rather than
    # refuses, images below twice its own limit.
    if encoded.startswith(_PNG):
        opener: Any = PngImagePlugin.PngImageFile
        end = _PNG_END
    elif encoded.startswith(_JPEG):
        opener, end = JpegImagePlugin.JpegImageFile, _JPEG_END
    else:
        start = f"starts with 0x{encoded[:4].hex()}" if encoded else "is empty"
        raise InvalidInput(f"the image {start}; expected a PNG or a JPEG", hint="send a PNG or JPEG file")
    try:
        image: Image.Image = opener(io.BytesIO(encoded))
    except _DAMAGE as error:
        raise _damaged(error) from None
    # Pillow is content once it has every pixel; a checksum behind them may be missing.
    if encoded.rfind(end) < 0:
        raise _damaged(EOFError("its end marker is missing"))
    return image


def _pixels(image: Image.Image, channels: int) -> npt.NDArray[np.uint8]:
    """uint8[h, w] for one channel, uint8[h, w, 3] for three."""
    try:
        if image.mode == "L" and channels == 1:
            return np.asarray(image, np.uint8)
        if image.mode.startswith("I"):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return grey if channels == 1 else np.repeat(grey[..., np.newaxis], 3, axis=-1)
        rgb = _from_cmyk(image) if image.mode == "CMYK" else image.convert("RGB")
        return np.asarray(rgb.convert("L") if channels == 1 else rgb, np.uint8)
    except _DAMAGE as error:
        raise _damaged(error) from None


def _from_cmyk(image: Image.Image) -> Image.Image:
    # Pillow rounds here where ``tf.io.decode_jpeg`` cuts.
    left = 255 - np.asarray(image, np.uint16)
    return Image.fromarray((left[..., :3] * left[..., 3:] // 255).astype(np.uint8))


def _damaged(error: Exception) -> InvalidInput:
    return InvalidInput(
        f"the image is damaged or cut short ({error or type(error).__name__})",
        hint="send the whole PNG or JPEG file, unchanged",
    )
