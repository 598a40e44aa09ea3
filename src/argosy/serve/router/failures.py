"""Why there is no answer, where neither the caller nor one member alone is at fault."""

from __future__ import annotations

from argosy.errors import ArgosyError, Unavailable
from argosy.serve.http.server import Answer


class Refused(Exception):
    """A member refused the request as its caller's mistake; ``answer`` tells it in the member's words."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with {answer.status}")
        self.answer = answer


class FunctionFailed(ArgosyError):
    """The user's function raised, took too long, or gave what is no answer."""

    code = "function_failed"

    def __init__(self, function: str, reason: str) -> None:
        super().__init__(
            f"function {function} failed: {reason}",
            hint="mend the function and deploy again; its output is in the router's log",
            context={"function": function},
        )


class PartFailed(ArgosyError):
    """A part of a large request was not answered, so there is no whole answer."""

    code = "part_failed"
    http_status = 502

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(
            f"{part} failed: {reason}",
            hint="nothing of the answer is returned; send the request again",
            context={"part": part},
        )


class PartUnavailable(PartFailed):
    """The same, of shards that are busy or away: it may work in a moment."""

    http_status = 503


class CallerTooSlow(ArgosyError):
    """The request came so slowly that it would keep its place from others."""

    code = "caller_too_slow"
    http_status = 408


class StorageFull(Unavailable):
    """The answer does not fit on the disk."""

    code = "storage_full"
    http_status = 507
