"""How much of a request is taken before it is known, and the words for what is no request."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import sys
import termios

import httptools

from argosy.errors import ArgosyError, InvalidInput, TooLarge, Unavailable
from argosy.serve.http.messages import HeadTooLarge

HEAD_BYTES = 64 * 1024
HEAD_LINES = 128
# What bodies that have not arrived whole may take of memory together.
HELD_BYTES = 512 * 2**20


def is_large(headers: list[tuple[bytes, bytes]], target: bytes, received: int) -> bool:
    """Whether a head is over the limits; ``received`` bytes are at least what it came in."""
    if len(headers) > HEAD_LINES:
        return True
    if received <= HEAD_BYTES:
        return False
    return len(target) + sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES


def origin_form(target: bytes) -> bytes:
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserError:
        return target
    path = url.path or b"/"
    return path if url.query is None else path + b"?" + url.query


def unsent(transport: asyncio.Transport) -> int:
    """How many bytes wait here and in the kernel for the other side to take them."""
    count = transport.get_write_buffer_size()
    with contextlib.suppress(OSError):
        waiting = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        count += int.from_bytes(waiting, sys.byteorder)
    return count


def malformed(error: Exception) -> ArgosyError:
    return InvalidInput(f"this is not an HTTP/1.1 request: {error}", hint="speak plain HTTP/1.1")


def crowded() -> ArgosyError:
    return Unavailable(
        f"requests that are being sent hold more than {HELD_BYTES} bytes already",
        hint="send the request again after a second",
    )


def large_head() -> TooLarge:
    return HeadTooLarge(
        f"the head of the request holds more than {HEAD_LINES} headers or {HEAD_BYTES} bytes",
        hint="send fewer or shorter headers",
    )
