"""The images that are sent most, decoded without the rest of Pillow: 8-bit grey or RGB JPEG and PNG.

The same decoders with the same settings as Pillow's own classes, so the pixels are the same. Whatever is
unusual, too large or wrong gives None: then Pillow's classes read it, or say what is wrong.
"""

from __future__ import annotations

import zlib
from typing import Any

from PIL import Image

from argosy.data.image_parts import MOST_SCANS, SCAN

_CORE: Any = vars(Image)["core"]
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"\x00\x00\x00\x00IEND\xaeB`\x82"
_START_OF_SCAN = 0xDA
_SEQUENTIAL_AND_PROGRESSIVE = (0xC0, 0xC1, 0xC2)
# Tables, comments and applications' segments.
_PASSED_OVER = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_JPEG_MODES = {1: "L", 3: "RGB"}
_PNG_MODES = {b"\x08\x00\x00\x00\x00": "L", b"\x08\x02\x00\x00\x00": "RGB"}
_FINISHED = (-1, 0)
_PARTS = 32


def decode(encoded: bytes, height: int, width: int, channels: int) -> bytes | None:
    """The pixels of an image of just that size, row by row, a byte a channel; None to read it otherwise."""
    if encoded.startswith(_JPEG_START):
        image = _jpeg(encoded, height, width)
    elif encoded.startswith(_PNG_START):
        image = _png(encoded, height, width)
    else:
        return None
    if image is None:
        return None
    wanted = "L" if channels == 1 else "RGB"
    if image.mode != wanted:
        image = image.convert(wanted, 0)
    encoder = _CORE.raw_encoder(wanted, wanted)
    encoder.setimage(image, (0, 0, width, height))
    size = width * height * channels
    count, status, pixels = encoder.encode(size)
    return pixels if status == 1 and count == size else None


def _jpeg(encoded: bytes, height: int, width: int) -> Any:
    if not encoded.endswith(_JPEG_END) or len(encoded) < 20 or encoded.count(SCAN) > MOST_SCANS:
        return None
    frame = _frame(encoded)
    if frame is None:
        return None
    if encoded[frame + 4 : frame + 9] != bytes((8, height >> 8, height & 255, width >> 8, width & 255)):
        return None
    mode = _JPEG_MODES.get(encoded[frame + 9])
    if mode is None:
        return None
    return _decoded(_CORE.jpeg_decoder(mode, mode, ""), mode, height, width, encoded)


def _frame(encoded: bytes) -> int | None:
    """Where the only frame header before the pixels begins; None for anything odd."""
    at, last = 2, len(encoded) - 10
    frame = None
    for _ in range(_PARTS):
        if encoded[at] != 0xFF:
            return None
        marker = encoded[at + 1]
        if marker == _START_OF_SCAN:
            return frame
        if marker in _SEQUENTIAL_AND_PROGRESSIVE and frame is None:
            frame = at
        elif marker not in _PASSED_OVER:
            return None
        at += 2 + (encoded[at + 2] << 8) + encoded[at + 3]
        if at > last:
            return None
    return None


def _png(encoded: bytes, height: int, width: int) -> Any:
    if not encoded.endswith(_PNG_END) or len(encoded) < 57:
        return None
    if encoded[16:24] != width.to_bytes(4, "big") + height.to_bytes(4, "big"):
        return None
    mode = _PNG_MODES.get(encoded[24:29])
    if mode is None or zlib.crc32(encoded[12:29]) != int.from_bytes(encoded[29:33], "big"):
        return None
    compressed = _compressed(encoded)
    if compressed is None:
        return None
    return _decoded(_CORE.zip_decoder(mode, mode, 0), mode, height, width, compressed)


def _compressed(encoded: bytes) -> bytes | None:
    """What the IDAT chunks hold, where nothing else stands between the header and the end."""
    parts: list[bytes] = []
    at, end = 33, len(encoded) - 12
    while at < end:
        size = int.from_bytes(encoded[at : at + 4], "big")
        if encoded[at + 4 : at + 8] != b"IDAT" or len(parts) == _PARTS:
            return None
        parts.append(encoded[at + 8 : at + 8 + size])
        at += 12 + size
    return b"".join(parts) if at == end else None


def _decoded(decoder: Any, mode: str, height: int, width: int, data: bytes) -> Any:
    image = _CORE.new(mode, (width, height))
    decoder.setimage(image, (0, 0, width, height))
    return image if decoder.decode(data) == _FINISHED else None
