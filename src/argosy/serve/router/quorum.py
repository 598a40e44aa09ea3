"""Which members answered, and whether they are enough: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from argosy.serve.http.client import Response
from argosy.serve.http.failures import MemberFailed
from argosy.serve.http.server import JSON, Answer, Headers
from argosy.serve.router.failures import Refused

MEMBERS = b"x-argosy-members"
MISSING = b"x-argosy-missing"
# Not the caller's mistake: another time, or another member, would have answered.
BUSY = frozenset((408, 425, 429))


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer came; ``reason`` says why."""

    reason: str


Outcome = Response | Failure


@dataclass(frozen=True, slots=True)
class Settled:
    """Who answered, in the order of the members, and why others did not."""

    answered: Mapping[str, Response]
    missing: Mapping[str, str]

    def headers(self) -> Headers:
        """The response headers that tell it."""
        return tell(self.answered, self.missing)


def tell(answered: Mapping[str, object], missing: Mapping[str, str]) -> Headers:
    named = ((MEMBERS, ",".join(answered).encode()),)
    if not missing:
        return named
    told = ", ".join(f"{member}; {_header_text(reason)}" for member, reason in missing.items())
    return (*named, (MISSING, told.encode()))


def settle(outcomes: Mapping[str, Outcome], quorum: int) -> Settled:
    """Who answered, when they are ``quorum`` (0: all) or more; else raises MemberFailed.

    When they are fewer and one of them blames the caller, that is the reason, told once, in the words of the
    first: raises Refused.
    """
    answered = {
        member: outcome
        for member, outcome in outcomes.items()
        if isinstance(outcome, Response) and outcome.status == 200
    }
    missing = {member: why(outcome) for member, outcome in outcomes.items() if member not in answered}
    needed = min(quorum, len(outcomes)) or len(outcomes)
    if len(answered) >= needed:
        return Settled(answered, missing)
    for outcome in outcomes.values():
        if isinstance(outcome, Response) and 400 <= outcome.status < 500 and outcome.status not in BUSY:
            raise Refused(passed_on(outcome))
    raise _too_few(outcomes, missing, len(answered), quorum)


def _too_few(
    outcomes: Mapping[str, Outcome], missing: Mapping[str, str], answered: int, quorum: int
) -> Exception:
    first, reason = next(iter(missing.items()))
    outcome = outcomes[first]
    if isinstance(outcome, Response) and outcome.status in BUSY and not quorum:
        return Refused(passed_on(outcome))
    if quorum:
        others = "".join(f"; {member!r}: {why}" for member, why in list(missing.items())[1:])
        reason = f"{reason}{others} ({answered} answered, at least {quorum} must)"
    unavailable = isinstance(outcome, Failure) or outcome.status in (*BUSY, 503, 504)
    return MemberFailed(first, reason, unavailable=unavailable)


def why(outcome: Outcome) -> str:
    """Why this is no answer, in a sentence."""
    if isinstance(outcome, Failure):
        return outcome.reason
    try:
        reason = orjson.loads(outcome.body)["error"]
    except (ValueError, KeyError, TypeError):
        reason = outcome.body[:200].decode(errors="replace")
    return f"status {outcome.status}: {reason}"


def passed_on(response: Response) -> Answer:
    kept = (b"retry-after", b"x-argosy-refused")
    told = tuple((name, response.headers[name]) for name in kept if name in response.headers)
    return Answer(response.status, response.body, (*JSON, *told))


def _header_text(reason: str) -> str:
    plain = reason.encode("ascii", "replace").decode().replace(",", " ")
    return "".join(one if one.isprintable() else " " for one in plain)[:300]
