"""Whether a sub-request is sent again, and when: pure."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.serve.http.client import Response
from argosy.serve.router.quorum import Failure, Outcome

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tries:
    """``made`` tries so far, of which ``retries`` may follow the first."""

    retries: int
    made: int = 0


@dataclass(frozen=True, slots=True)
class Again:
    after_seconds: float


@dataclass(frozen=True, slots=True)
class Enough:
    """The outcome stands, whatever it is."""


def decide(tries: Tries, outcome: Outcome, chance: float) -> tuple[Tries, Again | Enough]:
    """A lost connection, 429 and 5xx are tried again, each time after twice as long, or as the answer asks.

    ``chance`` in [0, 1) spreads the tries of many in time.
    """
    now = Tries(tries.retries, tries.made + 1)
    if not may_pass(outcome) or tries.made >= tries.retries:
        return now, Enough()
    backoff = FIRST_SECONDS * 2.0 ** min(tries.made, 16) * (0.5 + chance)
    return now, Again(min(max(backoff, _asked_for(outcome)), LONGEST_SECONDS))


def may_pass(outcome: Outcome) -> bool:
    """Whether the same request may be answered another time."""
    return isinstance(outcome, Failure) or outcome.status == 429 or outcome.status >= 500


def _asked_for(outcome: Outcome) -> float:
    if isinstance(outcome, Response):
        text = outcome.headers.get(b"retry-after", b"")
        if text.isdigit():
            return float(text[:9])
    return 0.0
