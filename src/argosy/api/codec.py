"""Views to JSON and back, and errors to the class they were raised as."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from argosy import errors
from argosy.api.views import ErrorView

T = TypeVar("T")


class Stopping(errors.Unavailable):
    """The control plane was asked to stop: a stream ends here, and the run goes on at the next start."""

    code = "stopping"
    exit_code = 1


_CLASSES: dict[str, type[errors.ArgosyError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidRequest,
        errors.InvalidInput,
        errors.NotFound,
        errors.Conflict,
        errors.TooLarge,
        errors.Unavailable,
        errors.CorruptArtifact,
        errors.RunFailed,
        Stopping,
    )
}


def encode(view: Any) -> bytes:
    """The JSON of a view, or of a list of views. Numbers that are not finite become null."""
    return msgspec.json.encode(view)


def decode_request(body: bytes, kind: type[T]) -> T:
    """A request's body as ``kind``. Raises InvalidRequest with the place of the fault."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(
            f"the request's body is not a {kind.__name__}: {error}",
            hint="/openapi.json describes every request",
        ) from error


def decode_response(body: bytes, kind: Any) -> Any:
    """A response's body as ``kind``. Raises ArgosyError where the control plane speaks another version."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise errors.ArgosyError(
            f"the control plane's answer could not be read: {error}",
            hint="it may be of another version: stop it with 'argosy down' and try again",
        ) from error


def error_view(error: errors.ArgosyError) -> ErrorView:
    return ErrorView(code=error.code, message=error.message, hint=error.hint, context=error.context)


def error_from_view(view: ErrorView, http_status: int = 500) -> errors.ArgosyError:
    """The error a view was made of; of an unknown code, the one its HTTP status stands for."""
    if view.code == errors.InvalidGraph.code:
        return _invalid_graph(view)
    other = errors.InvalidRequest if 400 <= http_status < 500 else errors.ArgosyError
    return _CLASSES.get(view.code, other)(view.message, hint=view.hint, context=view.context)


def _invalid_graph(view: ErrorView) -> errors.ArgosyError:
    try:
        problems = msgspec.convert(view.context.get("problems", []), list[errors.Problem])
    except msgspec.ValidationError:
        problems = []
    return errors.InvalidGraph(problems or [errors.Problem("graph", view.message, view.hint)])
