"""Protocol buffer files, looked at without their schema: whether they are whole, and what lies in a field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def fault_of(file: Path) -> str:
    """Why the file can not be a whole message; empty when every field of it ends within the file.

    Reads the few bytes before each field and passes over the fields themselves. Raises OSError.
    """
    size = file.stat().st_size
    if not size:
        return "it is empty"
    with file.open("rb") as opened:
        while opened.tell() < size:
            start = opened.tell()
            fault = _pass_field(opened, size)
            if fault:
                return f"{fault} at byte {start:,} of {size:,}"
    return ""


def _pass_field(file: BinaryIO, size: int) -> str:
    """Go behind one field; why that is not possible."""
    tag = _varint(file)
    if tag is None or tag >> 3 == 0:
        return "it holds something else"
    wire = tag & 7
    if wire == _VARINT:
        return "" if _varint(file) is not None else "it ends"
    length = _varint(file) if wire == _LENGTH else {_FIXED64: 8, _FIXED32: 4}.get(wire)
    if length is None:
        return "it holds something else"
    end = file.tell() + length
    if end > size:
        return f"it is cut short: {end - size:,} bytes are missing from the field"
    file.seek(end)
    return ""


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


def fields(message: memoryview, number: int) -> Iterator[memoryview]:
    """The fields of that number that have a length (texts, bytes, messages). Raises ValueError."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        wire = tag & 7
        if wire == _VARINT:
            _, at = _read_varint(message, at)
            continue
        if wire == _LENGTH:
            length, at = _read_varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(message):
            raise ValueError("cut short")
        if wire == _LENGTH and tag >> 3 == number:
            yield message[at : at + length]
        at += length


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("cut short")
