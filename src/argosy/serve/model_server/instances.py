"""KServe V1 ``instances`` to model inputs: every fault is named with its position."""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.data.preprocessing import ImageLimits, ImagePreprocessing
from argosy.errors import InvalidInput, TooLarge
from argosy.serve.model_server.tensors import json_type, numbers

Images = NDArray[np.float32]

_EXAMPLE = 'send {"instances": [{"b64": "<base64 of a PNG or JPEG file>"}]}'
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class InputLimits:
    """``image`` is for each image, the rest for a request: ``request_pixels`` of all PNGs, ``input_values``
    of all that the model is given."""

    body_bytes: int = 32 * 2**20
    # Small PNGs grow thirtyfold, and a number that is no instance a thousandfold.
    input_values: int = 2**25
    image: ImageLimits = field(default_factory=ImageLimits)
    request_pixels: int = 100_000_000


def decode_instances(
    instances: Sequence[Any], preprocessing: ImagePreprocessing, limits: InputLimits, place: str = "instances"
) -> Images:
    """float32[instances, height, width, channels], preprocessed. Raises InvalidInput or TooLarge.

    ``place`` is what the request calls them.
    """
    most = max(1, limits.input_values // math.prod(preprocessing.shape))
    if len(instances) > most:
        raise TooLarge(
            f"the request holds {len(instances)} instances, at most {most} are taken",
            hint="send fewer instances in a request",
        )
    if isinstance(instances[0], list):
        return preprocessing.from_arrays(_numbers(instances, preprocessing, place))
    return decode_images(
        (_encoded(instance, f"{place}[{position}]", place) for position, instance in enumerate(instances)),
        len(instances),
        preprocessing,
        limits,
        place,
    )


def decode_images(
    files: Iterable[bytes], count: int, preprocessing: ImagePreprocessing, limits: InputLimits, place: str
) -> Images:
    """float32[count, height, width, channels] of encoded images. Raises InvalidInput or TooLarge."""
    images = np.empty((count, *preprocessing.shape), np.float32)
    pixels = 0
    for position, encoded in enumerate(files):
        pixels += _png_pixels(encoded)
        if pixels > limits.request_pixels and position:
            raise TooLarge(
                f"{place}[0] to {place}[{position}] hold {pixels} pixels together, "
                f"at most {limits.request_pixels} are decoded for a request",
                hint="send fewer or smaller images in a request",
            )
        images[position] = _decode(encoded, f"{place}[{position}]", preprocessing, limits.image)
    return images


def _decode(data: bytes, place: str, preprocessing: ImagePreprocessing, limits: ImageLimits) -> Images:
    try:
        return preprocessing.decode(data, limits)
    except (InvalidInput, TooLarge) as error:
        message = f"{place}: {error.message}"
        raise type(error)(message, hint=error.hint, context=error.context) from None


def _png_pixels(data: bytes) -> int:
    # A PNG of one colour packs a thousandfold, so the bytes of a request say little of the work in it.
    if not data.startswith(_PNG):
        return 0
    return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")


def _encoded(instance: Any, place: str, whole: str) -> bytes:
    value = instance
    if isinstance(value, dict) and "image_bytes" in value:
        value = value["image_bytes"]
    if not isinstance(value, dict) or "b64" not in value:
        what = f"an object with {sorted(value)}" if isinstance(value, dict) else json_type(value)
        raise InvalidInput(
            f"{place} is {what}, expected {{'b64': ...}}, {{'image_bytes': {{'b64': ...}}}} "
            f"or (all {whole} alike) nested lists of numbers",
            hint=_EXAMPLE,
        )
    text = value["b64"]
    if not isinstance(text, str) or not text:
        what = "an empty text" if text == "" else json_type(text)
        raise InvalidInput(f"{place}.b64 is {what}, expected base64 text", hint=_EXAMPLE)
    return _base64(text, place)


def _base64(text: str, place: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass
    try:
        # The `base64` command breaks lines.
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        is_url = text.startswith("data:")
        raise InvalidInput(
            f"{place}.b64 is not base64: {error}",
            hint="drop the 'data:...;base64,' in front" if is_url else "use the standard base64 alphabet",
        ) from None


def _numbers(instances: Sequence[Any], preprocessing: ImagePreprocessing, place: str) -> NDArray[Any]:
    shape = preprocessing.shape
    accepted = (shape, shape[:2]) if shape[2] == 1 else (shape,)
    array = _array(instances)
    if array is None or array.shape[1:] not in accepted:
        raise _misfit(instances, accepted, place)
    check_pixels(array, place)
    return array


def check_pixels(array: NDArray[Any], place: str) -> None:
    """Raises InvalidInput naming the first value that is no pixel."""
    # NaN compares false on both sides, so it is found here too.
    wrong = ~((array >= 0) & (array <= 255))
    if wrong.any():
        at = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise InvalidInput(
            f"{place}{''.join(f'[{index}]' for index in at)} is {array[at]}, expected a pixel from 0 to 255",
            hint="send raw pixels: the model server scales them as in training",
        )


def _array(instances: Sequence[Any]) -> NDArray[Any] | None:
    array = numbers(instances)
    return array if array.dtype.kind in "iuf" else None


def _misfit(instances: Sequence[Any], accepted: tuple[tuple[int, ...], ...], place: str) -> InvalidInput:
    expected = " or ".join(str(list(one)) for one in reversed(accepted))
    for position, instance in enumerate(instances):
        if not isinstance(instance, list):
            return InvalidInput(
                f"{place}[{position}] is {json_type(instance)}, but {place}[0] is a list of numbers",
                hint="send instances of one kind in a request",
            )
        array = _array([instance])
        if array is None:
            return InvalidInput(
                f"{place}[{position}] is not a regular array of numbers, expected shape {expected}",
                hint="every row needs the same length, and every element must be a number",
            )
        if array.shape[1:] not in accepted:
            return InvalidInput(
                f"{place}[{position}] has shape {list(array.shape[1:])}, expected {expected}",
                hint="resize the image first, or send the encoded file as {'b64': ...}: it is resized here",
            )
    return InvalidInput(f"the instances have unequal shapes, expected {expected} for each")
