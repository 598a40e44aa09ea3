"""What every route does alike: bodies in, views out."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request, Response

from argosy import __version__
from argosy.api.codec import decode_request, encode
from argosy.api.limits import MAXIMUM_REQUEST_BYTES, VERSION_HEADER
from argosy.errors import Conflict, TooLarge

T = TypeVar("T")


def answer(view: Any, status: int = 200) -> Response:
    return Response(
        encode(view), status, headers={VERSION_HEADER: __version__}, media_type="application/json"
    )


async def body_of(request: Request, kind: type[T]) -> T:
    """The body as ``kind``, read no further than the limit. An empty body stands for all defaults."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAXIMUM_REQUEST_BYTES:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_REQUEST_BYTES:
            raise _too_large()
    return decode_request(bytes(body) or b"{}", kind)


def _too_large() -> TooLarge:
    return TooLarge(
        f"the request is larger than {MAXIMUM_REQUEST_BYTES // 2**20} MiB",
        hint="pass large data to a step as a file or a dataset, not as a parameter or a literal in the graph",
    )


def refuse_other_version(request: Request) -> None:
    """A graph of another version may mean something else here."""
    asked = request.headers.get(VERSION_HEADER, __version__)
    if asked != __version__:
        raise Conflict(
            f"the control plane of this home is Argosy {__version__}, and this request comes from {asked}",
            hint="stop the control plane with 'argosy down'; the next 'argosy run' starts the other version",
            context={"control_plane": __version__, "caller": asked},
        )
