"""What a model server answers when it can not predict, as KServe V1 clients read it."""

from __future__ import annotations

from typing import Any

import orjson

from argosy.errors import ArgosyError, Unavailable

MESSAGE_CHARACTERS = 2000


class Overloaded(Unavailable):
    """The queue is full."""

    code = "overloaded"
    http_status = 429

    def __init__(self, reason: str) -> None:
        super().__init__(f"the model server is busy: {reason}", hint="send the request again after a second")


class ModelFailed(ArgosyError):
    """The model itself raised."""

    code = "model_failed"

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"the model failed: {type(error).__name__}: {error}",
            hint="the request is well-formed; see the replica's log",
        )


class MemberFailed(ArgosyError):
    """A member of an ensemble gave no answer; nothing can be aggregated without it."""

    code = "member_failed"
    http_status = 502

    def __init__(self, member: str, reason: str, *, unavailable: bool = False) -> None:
        super().__init__(
            f"member {member!r} of the ensemble did not answer: {reason}",
            hint="`argosy services` shows the state of every replica",
            context={"member": member},
        )
        self.reason = reason
        self.status = 503 if unavailable else 502


def shortened(text: str, most: int = MESSAGE_CHARACTERS) -> str:
    """What is said to a caller of its own words: a name may be as long as a request."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... {text[-half:]}"


def error_body(error: ArgosyError) -> bytes:
    """``{"error", "code", "hint"?}``: KServe and TensorFlow Serving clients read ``error``."""
    body: dict[str, Any] = {"error": shortened(error.message), "code": error.code}
    if error.hint:
        body["hint"] = error.hint
    return orjson.dumps(body)


def error_status(error: ArgosyError) -> int:
    return error.status if isinstance(error, MemberFailed) else error.http_status
