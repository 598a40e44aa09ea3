"""KServe V1 ``instances`` to model inputs: every fault is named with its position."""

from __future__ import annotations

import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from argosy.data.preprocessing import ImageLimits, ImagePreprocessing
from argosy.errors import InvalidInput, TooLarge

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


def parse_body(body: bytes) -> list[Any]:
    """The ``instances`` of a predict request: a list that is not empty. Raises InvalidInput."""
    if not body:
        raise InvalidInput("the request has no body, expected JSON", hint=_EXAMPLE)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(_json_fault(error), hint=_EXAMPLE) from None
    if not isinstance(document, dict):
        raise InvalidInput(f"the request is {_json_type(document)}, expected an object", hint=_EXAMPLE)
    if "instances" not in document:
        received = ", ".join(repr(key) for key in list(document)[:5]) or "no keys"
        raise InvalidInput(f"the request has no 'instances' (it has {received})", hint=_EXAMPLE)
    instances = document["instances"]
    if not isinstance(instances, list):
        raise InvalidInput(f"'instances' is {_json_type(instances)}, expected a list", hint=_EXAMPLE)
    if not instances:
        raise InvalidInput("'instances' is an empty list, expected at least one instance", hint=_EXAMPLE)
    return instances


def decode_instances(
    instances: Sequence[Any], preprocessing: ImagePreprocessing, limits: InputLimits
) -> Images:
    """float32[instances, height, width, channels], preprocessed. Raises InvalidInput or TooLarge."""
    most = max(1, limits.input_values // math.prod(preprocessing.shape))
    if len(instances) > most:
        raise TooLarge(
            f"the request holds {len(instances)} instances, at most {most} are taken",
            hint="send fewer instances in a request",
        )
    if isinstance(instances[0], list):
        return preprocessing.from_arrays(_numbers(instances, preprocessing))
    images = np.empty((len(instances), *preprocessing.shape), np.float32)
    pixels = 0
    for position, instance in enumerate(instances):
        encoded = _encoded(instance, position)
        pixels += _png_pixels(encoded)
        if pixels > limits.request_pixels and position:
            raise TooLarge(
                f"instances[0] to instances[{position}] hold {pixels} pixels together, "
                f"at most {limits.request_pixels} are decoded for a request",
                hint="send fewer or smaller images in a request",
            )
        images[position] = _decode(encoded, position, preprocessing, limits.image)
    return images


def _decode(data: bytes, position: int, preprocessing: ImagePreprocessing, limits: ImageLimits) -> Images:
    try:
        return preprocessing.decode(data, limits)
    except (InvalidInput, TooLarge) as error:
        message = f"instances[{position}]: {error.message}"
        raise type(error)(message, hint=error.hint, context=error.context) from None


def _png_pixels(data: bytes) -> int:
    # A PNG of one colour packs a thousandfold, so the bytes of a request say little of the work in it.
    if not data.startswith(_PNG):
        return 0
    return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")


def _encoded(instance: Any, position: int) -> bytes:
    value = instance
    if isinstance(value, dict) and "image_bytes" in value:
        value = value["image_bytes"]
    if not isinstance(value, dict) or "b64" not in value:
        what = f"an object with {sorted(value)}" if isinstance(value, dict) else _json_type(value)
        raise InvalidInput(
            f"instances[{position}] is {what}, expected {{'b64': ...}}, {{'image_bytes': {{'b64': ...}}}} "
            "or (all instances alike) nested lists of numbers",
            hint=_EXAMPLE,
        )
    text = value["b64"]
    if not isinstance(text, str) or not text:
        what = "an empty text" if text == "" else _json_type(text)
        raise InvalidInput(f"instances[{position}].b64 is {what}, expected base64 text", hint=_EXAMPLE)
    return _base64(text, position)


def _base64(text: str, position: int) -> bytes:
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
            f"instances[{position}].b64 is not base64: {error}",
            hint="drop the 'data:...;base64,' in front" if is_url else "use the standard base64 alphabet",
        ) from None


def _numbers(instances: Sequence[Any], preprocessing: ImagePreprocessing) -> NDArray[Any]:
    shape = preprocessing.shape
    accepted = (shape, shape[:2]) if shape[2] == 1 else (shape,)
    array = _array(instances)
    if array is None or array.shape[1:] not in accepted:
        raise _misfit(instances, accepted)
    # NaN compares false on both sides, so it is found here too.
    wrong = ~((array >= 0) & (array <= 255))
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise InvalidInput(
            f"instances{''.join(f'[{index}]' for index in place)} is {array[place]}, "
            "expected a pixel from 0 to 255",
            hint="send raw pixels: the model server scales them as in training",
        )
    return array


def _array(instances: Sequence[Any]) -> NDArray[Any] | None:
    try:
        array = np.array(instances)
    except (ValueError, OverflowError, TypeError):
        return None
    return array if array.dtype.kind in "iuf" else None


def _misfit(instances: Sequence[Any], accepted: tuple[tuple[int, ...], ...]) -> InvalidInput:
    expected = " or ".join(str(list(one)) for one in reversed(accepted))
    for position, instance in enumerate(instances):
        if not isinstance(instance, list):
            return InvalidInput(
                f"instances[{position}] is {_json_type(instance)}, but instances[0] is a list of numbers",
                hint="send instances of one kind in a request",
            )
        array = _array([instance])
        if array is None:
            return InvalidInput(
                f"instances[{position}] is not a regular array of numbers, expected shape {expected}",
                hint="every row needs the same length, and every element must be a number",
            )
        if array.shape[1:] not in accepted:
            return InvalidInput(
                f"instances[{position}] has shape {list(array.shape[1:])}, expected {expected}",
                hint="resize the image first, or send the encoded file as {'b64': ...}: it is resized here",
            )
    return InvalidInput(f"the instances have unequal shapes, expected {expected} for each")


def _json_fault(error: orjson.JSONDecodeError) -> str:
    place = f"line {error.lineno}, column {error.colno}"
    for token in ("NaN", "Infinity"):
        if error.doc.startswith(token, error.pos):
            return f"malformed JSON at {place}: {token} is not a JSON number"
    return f"malformed JSON at {place}: {error.msg}"


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
