"""Who answered, and whether that is enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.serve.http.client import Response
from argosy.serve.http.failures import MemberFailed
from argosy.serve.router.failures import Refused
from argosy.serve.router.quorum import Failure, Outcome, settle

OK = Response(200, b"{}", {})
WRONG = Response(400, b'{"error": "instances[0] is wrong"}', {})
BUSY = Response(429, b'{"error": "full"}', {b"retry-after": b"2", b"x-argosy-refused": b"queue"})
BROKEN = Response(500, b"boom", {})
OUTCOMES = st.lists(st.sampled_from([OK, WRONG, BUSY, BROKEN, Failure("gone")]), min_size=1, max_size=6)


@given(OUTCOMES, st.integers(0, 7))
def test_every_member_is_either_among_those_that_answered_or_told_to_be_missing(
    outcomes: list[Outcome], quorum: int
) -> None:
    members = {f"m{number}": outcome for number, outcome in enumerate(outcomes)}
    enough = outcomes.count(OK) >= (min(quorum, len(outcomes)) or len(outcomes))
    if not enough:
        with pytest.raises((Refused, MemberFailed)) as caught:
            settle(members, quorum)
        told = caught.value
        assert isinstance(told, Refused) or told.context["member"] in members
        assert (isinstance(told, Refused) and told.answer.status == 400) is (WRONG in outcomes)
        return
    settled = settle(members, quorum)
    assert list(settled.answered) == [name for name, outcome in members.items() if outcome is OK]
    assert settled.answered.keys() | settled.missing.keys() == members.keys()
    assert not settled.answered.keys() & settled.missing.keys()


def test_reasons_are_safe_in_a_header() -> None:
    settled = settle({"a": OK, "b": Failure("oh, no\r\nx-evil: 1 é")}, 1)
    assert dict(settled.headers()) == {
        b"x-argosy-members": b"a",
        b"x-argosy-missing": b"b; oh  no  x-evil: 1 ?",
    }


def test_a_full_queue_is_passed_on_with_its_time() -> None:
    with pytest.raises(Refused) as caught:
        settle({"a": OK, "b": BUSY}, 0)
    assert caught.value.answer.status == 429
    assert (b"retry-after", b"2") in caught.value.answer.headers
    assert (b"x-argosy-refused", b"queue") in caught.value.answer.headers
