"""Large images, cut into what a model takes."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from argosy.data import image_files
from argosy.data.image_files import ImageLimits
from argosy.errors import InvalidInput, TooLarge
from argosy.serve.router.parts import PART_BYTES, Part, Tiles

Pixels = NDArray[np.uint8]

# Larger than for images that are not cut; 360 MB of memory in colour.
IMAGE_LIMITS = ImageLimits(bytes=96 * 2**20, pixels=120_000_000)
# In base64, with what is around it.
INSTANCE_BYTES = IMAGE_LIMITS.bytes * 4 // 3 + 2**20
_BYTES_OF_A_VALUE = 4


def decode(instance: bytes, position: int, channels: int) -> Pixels:
    """uint8[h, w, channels] of one instance. Raises InvalidInput or TooLarge with its position."""
    try:
        pixels = image_files.read(_encoded(orjson.loads(instance), position), channels, IMAGE_LIMITS)
    except (InvalidInput, TooLarge) as error:
        message = error.message
        if not message.startswith("instances["):
            message = f"instances[{position}]: {message}"
        raise type(error)(message, hint=error.hint, context=error.context) from None
    return pixels.reshape(*pixels.shape[:2], channels)


def grid(pixels: Pixels, tile: tuple[int, int]) -> tuple[int, int]:
    """How many rows and columns of tiles cover the image."""
    height, width = pixels.shape[:2]
    return -(-height // tile[0]), -(-width // tile[1])


def cut(pixels: Pixels, tile: tuple[int, int], number: int) -> Pixels:
    """One tile, counted in row-major order.

    What of it lies beyond the right or lower edge repeats the pixels of the edge: a black border would be
    something the model sees.
    """
    row, column = divmod(number, grid(pixels, tile)[1])
    found = pixels[row * tile[0] : (row + 1) * tile[0], column * tile[1] : (column + 1) * tile[1]]
    below, right = tile[0] - found.shape[0], tile[1] - found.shape[1]
    if not below and not right:
        return found
    return np.pad(found, ((0, below), (0, right), (0, 0)), mode="edge")


def parts(pixels: Pixels, position: int, tile: tuple[int, int], rows: int, prefix: bytes) -> Iterator[Part]:
    """The sub-requests for one image: raw pixels, ``rows`` tiles each, or fewer where those are large."""
    covered = grid(pixels, tile)
    total = covered[0] * covered[1]
    values = tile[0] * tile[1] * pixels.shape[2]
    together = max(1, min(rows, PART_BYTES // (values * _BYTES_OF_A_VALUE)))
    for start in range(0, total, together):
        numbers = range(start, min(start + together, total))
        stacked = np.stack([cut(pixels, tile, number) for number in numbers])
        listed = orjson.dumps(stacked, option=orjson.OPT_SERIALIZE_NUMPY)
        body = b"".join((prefix, listed[1:-1], b"]}"))
        yield Part(position, len(numbers), body, Tiles(position, covered, start))


def _encoded(instance: Any, position: int) -> bytes:
    value = instance
    if isinstance(value, dict) and "image_bytes" in value:
        value = value["image_bytes"]
    text = value.get("b64") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text:
        raise InvalidInput(
            f"instances[{position}] is not {{'b64': ...}}, expected one encoded image to cut into tiles",
            hint='send {"instances": [{"b64": "<base64 of an image file>"}]}',
        )
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise InvalidInput(
            f"instances[{position}].b64 is not base64: {error}", hint="use the standard base64 alphabet"
        ) from None
