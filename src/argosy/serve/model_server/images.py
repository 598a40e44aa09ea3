"""How much work encoded images are, told by their first bytes."""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

# Base64 of the signatures whose pixels may be far more than their bytes, and where the size stands.
_PNG = "iVBORw0KGgo"
_GIF = "R0lGOD"
_WEBP = "UklGR"
# Bytes that are about as much work as one pixel that had not to be sent.
_BYTES_A_PIXEL = 1 / 16
_WEBP_FACTOR = 16


def weight_of(instances: Iterable[Any]) -> int:
    """Bytes to be added to those that were sent, for pixels that are compressed beyond what bytes tell."""
    weight = 0
    for instance in instances:
        inner = instance.get("image_bytes", instance) if isinstance(instance, dict) else None
        text = inner.get("b64") if isinstance(inner, dict) else None
        if not isinstance(text, str) or text.startswith("/9j/"):
            continue
        weight += _pixel_weight(text)
    return weight


def _pixel_weight(text: str) -> int:
    if text.startswith(_WEBP):
        return len(text) * _WEBP_FACTOR
    if not text.startswith((_PNG, _GIF)):
        return 0
    try:
        head = binascii.a2b_base64(text[:48])
    except ValueError:
        return 0
    if text.startswith(_PNG):
        width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    else:
        width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    return int(width * height * _BYTES_A_PIXEL)
