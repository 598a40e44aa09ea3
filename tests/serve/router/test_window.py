"""What is under way at once, and who is let in next."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from argosy.serve.router.window import Share, Wait, Window, WindowLimits, WindowState, grant

from ..harness import asynchronous  # noqa: TID252

LIMITS = WindowLimits(parts=6, bytes=100, parts_each=3, bytes_each=60)
EVENTS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 150), st.booleans()), max_size=60)


def held(state: WindowState) -> tuple[int, int]:
    shares = state.held.values()
    return sum(one.parts for one in shares), sum(one.bytes for one in shares)


@given(EVENTS)
def test_the_window_is_never_exceeded_and_never_stands_still(events: list[tuple[int, int, bool]]) -> None:
    state = WindowState(LIMITS, {})
    under_way: list[Wait] = []
    for owner, size, returns in events:
        if returns and under_way:
            back = under_way.pop(0)
            share = state.held[back.owner].minus(back.size)
            state = replace(state, held={**state.held, back.owner: share})
        elif not any(one.owner == owner for one in state.waiting):
            state = replace(state, waiting=(*state.waiting, Wait(owner, size)))
        state, granted = grant(state)
        under_way += granted
        parts, size = held(state)
        assert parts == len(under_way)
        assert parts <= LIMITS.parts
        assert size <= LIMITS.bytes or parts == 1
        for share in state.held.values():
            assert share.parts <= LIMITS.parts_each
            assert share.bytes <= LIMITS.bytes_each or share.parts == 1
        assert under_way or not state.waiting


@given(st.permutations([1, 2, 3]), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_whoever_holds_least_is_let_in_first(order: list[int], parts: list[int]) -> None:
    shares = {owner: Share(one, one) for owner, one in zip((1, 2, 3), parts, strict=True)}
    limits = WindowLimits(parts=sum(parts) + 1, bytes=10**6, parts_each=9, bytes_each=10**6)
    state, granted = grant(WindowState(limits, shares, tuple(Wait(owner, 1) for owner in order)))
    assert len(granted) == 1
    least = min(parts)
    assert granted[0].owner == next(owner for owner in order if shares[owner].parts == least)
    assert len(state.waiting) == 2


@asynchronous
async def test_leaving_frees_what_was_held_and_what_waited() -> None:
    window = Window(LIMITS)
    first, second = window.enter(), window.enter()
    for _ in range(3):
        await window.acquire(first, 1)
    window.leave(first)
    await window.acquire(second, 90)
    window.release(second, 90)
    window.leave(second)
    assert window.is_empty
