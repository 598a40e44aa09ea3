"""The parts an image file is made of: that they are not too many, and what must be known before decoding.

Every function raises ValueError, with the reason, for a file that is cut short or is not what it says.
"""

from __future__ import annotations

import re

# No camera or editor writes nearly as many parts before an image, or as much between them.
MOST_PARTS = 16_384
MOST_JUNK = 65_536
# A scan of a few bytes is work on every pixel; progressive files have about ten.
MOST_SCANS = 100
SCAN = b"\xff\xda"

_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
# What is stuffed, filled or restarts within pixels is no marker.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END = 0xDA, 0xD9
_ALONE = (0x01, 0xD8)
_BMP_PLAIN = {0: "none", 3: "bit fields", 6: "bit fields"}


def check_png(data: bytes) -> None:
    """Its end is there, and its chunks are not too many."""
    # Pillow is content once it has every pixel; what stands behind them may be missing.
    if data.rfind(_PNG_END) < 0:
        raise EOFError("its end marker is missing")
    at, parts = 8, 0
    while at + 8 <= len(data):
        parts += 1
        if parts > MOST_PARTS:
            raise ValueError(f"it has more than {MOST_PARTS:,} chunks")
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def check_jpeg(data: bytes) -> None:
    """Its end is there, and its segments, its scans and what stands between them are not too many."""
    at, parts, scans, junk, pixels = 2, 0, 0, 0, len(data)
    while found := _JPEG_MARKER.search(data, at):
        start, marker = found.start(), data[found.start() + 1]
        if marker == _END:
            return
        parts += 1
        if marker == _START_OF_SCAN:
            scans += 1
            pixels = min(pixels, start)
        # Behind the start of a scan stand pixels.
        junk += 0 if scans else start - at
        if parts > MOST_PARTS or junk > MOST_JUNK:
            raise ValueError(f"it has more than {MOST_PARTS:,} segments, or too much between them")
        if scans > MOST_SCANS:
            raise ValueError(f"it has more than {MOST_SCANS} scans")
        at = start + 2
        if marker not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
    # Damage within the pixels may hide the end behind it; the pixels are read as far as they go.
    if data.rfind(_JPEG_END) < pixels:
        raise EOFError("its end marker is missing")


def first_frame_of_gif(data: bytes) -> bytes:
    """The file without what stands before its first frame, but for how that frame is to be shown."""
    if len(data) < 13:
        raise EOFError("it has no header")
    start = 13 + _gif_palette(data[10])
    at, parts = start, 0
    control = b""
    while True:
        kind = data[at : at + 1]
        if kind == b",":
            return data[:start] + control + data[at:]
        if kind != b"!":
            raise EOFError("it has no frame")
        begin, label = at, data[at + 1 : at + 2]
        at += 2
        while size := _byte(data, at):
            at += 1 + size
            parts += 1
            if parts > MOST_PARTS:
                raise ValueError(f"it has more than {MOST_PARTS:,} blocks before its first frame")
        at += 1
        if label == b"\xf9":
            control = data[begin:at]


def check_bmp(data: bytes) -> None:
    """It is not compressed: Pillow takes a compressed one apart pixel by pixel in Python."""
    if len(data) < 34:
        raise EOFError("it has no header")
    header = int.from_bytes(data[14:18], "little")
    compression = int.from_bytes(data[30:34], "little") if header >= 40 else 0
    if compression not in _BMP_PLAIN:
        raise ValueError(f"its compression {compression} is not read; save it uncompressed, or as PNG")


def size_of_webp(data: bytes) -> tuple[int, int]:
    """(width, height) from the header of a WebP that is whole."""
    if len(data) < 30 or int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise EOFError("bytes at its end are missing")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return _fourteen_bits(data, 26), _fourteen_bits(data, 28)
    raise ValueError("it holds no image")


def _fourteen_bits(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little") & 0x3FFF


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise EOFError("it has no frame")
    return data[at]
