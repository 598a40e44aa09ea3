"""Callers that speak to a port in bytes, and requests that two readers may read differently."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from contextlib import suppress

from .http_world import post

PATH = b"/v1/models/digits:predict"
HIDDEN = post(PATH, b'{"instances": [[1, 2]]}', b"connection: close")


def request(*lines: bytes, body: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return end.join((b"POST %s HTTP/1.1" % PATH, b"host: x", *lines, b"", b"")) + body


CHUNKED = b"transfer-encoding: chunked"
# In each a reader of another mind would find a second request.
SMUGGLING = {
    "a length before chunks": request(b"content-length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "a length behind chunks": request(CHUNKED, b"content-length: 5", body=b"0\r\n\r\n"),
    "an unknown coding and a length": request(
        b"transfer-encoding: xchunked", b"content-length: 5", body=b"0\r\n\r\n"
    ),
    "no coding and a length": request(
        b"transfer-encoding: identity", b"content-length: 5", body=b"0\r\n\r\n"
    ),
    "chunks that are not the last coding": request(
        b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n"
    ),
    "a space before the colon": request(
        b"transfer-encoding : chunked", b"content-length: 5", body=b"0\r\n\r\n"
    ),
    "a tabulator of another kind": request(
        b"transfer-encoding:\x0bchunked", b"content-length: 5", body=b"0\r\n\r\n"
    ),
    "a folded coding": request(b"transfer-encoding:\r\n chunked", b"content-length: 5", body=b"0\r\n\r\n"),
    "two lengths": request(b"content-length: 3", b"content-length: 0", body=b"abc"),
    "a list of lengths": request(b"content-length: 3, 0", body=b"abc"),
    "a signed length": request(b"content-length: +3", body=b"abc"),
    "a negative length": request(b"content-length: -3", body=b"abc"),
    "a length in hexadecimal": request(b"content-length: 0x3", body=b"abc"),
    "a length of two numbers": request(b"content-length: 3 3", body=b"abc"),
    "a length beyond 64 bits": request(b"content-length: %d" % (2**64 + 3), body=b"abc"),
    "lines that end without a carriage return": request(b"content-length: 3", body=b"abc", end=b"\n"),
    "a line feed in a header": request(b"x: a\ncontent-length: 3", body=b"abc"),
    "a carriage return in a header": request(b"x: a\rcontent-length: 3", body=b"abc"),
    "a zero in a header": request(b"x: a\x00b", b"content-length: 3", body=b"abc"),
    "a header without a name": request(b": x", b"content-length: 3", body=b"abc"),
    "a header that begins with a space": request(b" content-length: 3", body=b"abc"),
    "a chunk of negative size": request(CHUNKED, body=b"-3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size in C": request(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size beyond 64 bits": request(CHUNKED, body=b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than its size": request(CHUNKED, body=b"3\r\nabcdef\r\n0\r\n\r\n"),
    "a chunk that ends in a line feed": request(CHUNKED, body=b"3\nabc\n0\n\n"),
    "an extension that ends in a line feed": request(CHUNKED, body=b"3;a\nabc\r\n0\r\n\r\n"),
}


async def exchange(port: int, data: bytes, seconds: float = 20.0) -> bytes:
    """Everything that comes back until the server closes, which it must."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(seconds):
            return await until_closed(reader)
    finally:
        writer.close()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    with suppress(ConnectionError):
        while piece := await reader.read(2**16):
            received += piece
    return bytes(received)


def statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close as a caller that crashes does: what is under way is thrown away on both sides."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
