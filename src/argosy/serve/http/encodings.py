"""Request bodies that the caller compressed."""

from __future__ import annotations

import zlib

from argosy.errors import InvalidInput, InvalidRequest, TooLarge
from argosy.serve.http.request import Request

_PLAIN = ("", "identity")
# Zlib and gzip are told apart by how they begin.
_EITHER = zlib.MAX_WBITS | 32
_KNOWN = ("gzip", "deflate")


class UnsupportedEncoding(InvalidRequest):
    code = "unsupported_encoding"
    http_status = 415


def encoding_of(request: Request, known: tuple[str, ...] = _KNOWN) -> str:
    """The encoding of the body; empty where it is plain. Raises UnsupportedEncoding for one not ``known``."""
    value = request.header(b"content-encoding")
    if value is None:
        return ""
    encoding = value.decode("latin-1").strip().lower()
    if encoding in _PLAIN:
        return ""
    if encoding not in known:
        hint = f"send it plain, or with {' or '.join(known)}" if known else "send it plain"
        raise UnsupportedEncoding(
            f"the body is encoded as {encoding[:40]!r}, which is not read here", hint=hint
        )
    return encoding


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """What was compressed. Raises TooLarge before more than ``limit`` bytes are made, or InvalidInput."""
    decoder = zlib.decompressobj(_EITHER)
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(
            f"the body is not {encoding}: {error}",
            hint="leave the Content-Encoding header out of plain bodies",
        ) from None
    if len(plain) > limit:
        raise TooLarge(
            f"the request body is more than {limit} bytes when it is unpacked, at most that many are taken",
            hint="send fewer or smaller instances in a request",
        )
    if not decoder.eof or decoder.unused_data:
        fault = "is followed by other bytes" if decoder.eof else "is cut short"
        raise InvalidInput(f"the {encoding} body {fault}", hint="compress the whole body at once")
    return plain
