"""The one error tree of Argosy.

ArgosyError
├── InvalidRequest   the caller asked for something wrong: mend the request   (HTTP 400, exit 2)
│   ├── InvalidGraph      a workflow that can not be: every problem at once
│   └── InvalidInput      a file or a value from outside that can not be read
├── NotFound         the named thing does not exist                           (HTTP 404, exit 2)
├── Conflict         it exists, but its present state forbids this            (HTTP 409, exit 2)
├── TooLarge         the request is over a limit                              (HTTP 413, exit 2)
├── Unavailable      right, but not now: try again later                      (HTTP 503, exit 2)
├── CorruptArtifact  stored bytes do not match their digest                   (HTTP 500)
└── RunFailed        the request was right and the run ended badly            (exit 1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class ArgosyError(Exception):
    """An error that a person can act on.

    ``message`` names the thing, the value received and what was expected; ``hint`` names the mend;
    ``context`` holds the same facts as JSON values. ``code`` is stable across releases.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", context: Mapping[str, Any] | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context: dict[str, Any] = dict(context or {})

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "context": self.context,
        }


class InvalidRequest(ArgosyError):
    code = "invalid_request"
    http_status = 400
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a workflow: where (``step``, ``file:line``), what, and the mend."""

    rule: str
    message: str
    hint: str = ""
    where: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class InvalidGraph(InvalidRequest):
    """A workflow that can not be. ``problems`` holds everything that is wrong, not only the first."""

    code = "invalid_graph"

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__(
            "\n".join(str(problem) for problem in problems),
            context={
                "problems": [
                    {"rule": p.rule, "message": p.message, "hint": p.hint, "where": p.where} for p in problems
                ]
            },
        )


class InvalidInput(InvalidRequest):
    code = "invalid_input"


class NotFound(ArgosyError):
    code = "not_found"
    http_status = 404
    exit_code = 2


class Conflict(ArgosyError):
    code = "conflict"
    http_status = 409
    exit_code = 2


class TooLarge(ArgosyError):
    code = "too_large"
    http_status = 413
    exit_code = 2


class Unavailable(ArgosyError):
    code = "unavailable"
    http_status = 503
    exit_code = 2


class CorruptArtifact(ArgosyError):
    code = "corrupt_artifact"


class RunFailed(ArgosyError):
    code = "run_failed"
    exit_code = 1
