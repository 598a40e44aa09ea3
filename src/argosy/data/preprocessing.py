"""Encoded image or pixels to what a model reads: one object for training, serving and the SavedModel.

The rules, in this order, and nowhere else:
  1. PNG, JPEG, GIF, BMP that is not compressed, or WebP; the first image or frame; colour profiles and
     orientation tags are ignored.
  2. 16 bits a channel become 8 by the high byte; transparency is dropped; palettes are looked up; CMYK
     becomes RGB by (255 - C) (255 - K) / 255, cut to an integer, and alike for M and Y. What the first frame
     of a GIF leaves open or marks as transparent is black.
  3. One channel: luma of ITU-R BT.601 in integers, (19595 R + 38470 G + 7471 B + 32768) >> 16.
  4. A size other than the model's: stretched by a triangle filter whose support grows when it shrinks
     (Pillow's BILINEAR, ``tf.image.resize(..., antialias=True)``), on float32, without rounding.
  5. ``value * scale + offset`` in float32.

The SavedModel's graph reads the same but WebP, which TensorFlow does not know, and BMP of 1, 4 or 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from argosy.data import image_files, image_shortcut
from argosy.data.image_files import ImageLimits
from argosy.errors import InvalidInput, TooLarge

__all__ = ["DEFAULT_LIMITS", "ImageLimits", "ImagePreprocessing"]

Floats = npt.NDArray[np.float32]

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

    def decode(
        self, encoded: bytes, limits: ImageLimits = DEFAULT_LIMITS, out: Floats | None = None
    ) -> Floats:
        """An encoded image to float32[h, w, c].

        Raises TooLarge above ``limits``, InvalidInput for what is not an image, is damaged or is cut short.
        """
        return self._scaled(self._values(encoded, limits), out)

    def decode_many(
        self, images: Sequence[bytes], limits: ImageLimits = DEFAULT_LIMITS, out: Floats | None = None
    ) -> Floats:
        """Encoded images to float32[n, h, w, c], the same as :meth:`decode` one by one, and cheaper.

        Raises what ``decode`` does, with the ``position`` of the image in the error's context.
        """
        result = np.empty((len(images), *self.shape), np.float32) if out is None else out
        quick: dict[int, bytes] = {}
        for position, encoded in enumerate(images):
            try:
                values = self._values(encoded, limits)
            except (InvalidInput, TooLarge) as error:
                error.context["position"] = position
                raise
            if isinstance(values, bytes):
                quick[position] = values
            else:
                self._scaled(values, result[position])
        if len(quick) == len(images):
            return self._scaled(b"".join(quick.values()), result)
        for position, values in quick.items():
            self._scaled(values, result[position])
        return result

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

    def _values(self, encoded: bytes, limits: ImageLimits) -> bytes | npt.NDArray[Any]:
        """Values 0 to 255 of an image of the model's size: a byte each, or an array [h, w, ...]."""
        height, width, channels = self.shape
        if len(encoded) <= limits.bytes and height * width <= limits.pixels:
            quick = image_shortcut.decode(encoded, height, width, channels)
            if quick is not None:
                return quick
        pixels = image_files.read(encoded, channels, limits)
        return pixels if pixels.shape[:2] == (height, width) else self._resized(pixels)

    def _scaled(self, values: bytes | npt.NDArray[Any], out: Floats | None) -> Floats:
        array = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else values
        result = np.empty(self.shape, np.float32) if out is None else out
        np.multiply(array.reshape(result.shape), np.float32(self.scale), out=result)
        if self.offset:
            np.add(result, np.float32(self.offset), out=result)
        return result

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
