"""How much of large requests is under way at once, shared fairly among them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """``parts`` and ``bytes`` of all requests together, ``parts_each`` and ``bytes_each`` of one."""

    parts: int = 64
    bytes: int = 64 * 2**20
    parts_each: int = 16
    bytes_each: int = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Share:
    """What one request holds."""

    parts: int = 0
    bytes: int = 0

    def plus(self, size: int) -> Share:
        return Share(self.parts + 1, self.bytes + size)

    def minus(self, size: int) -> Share:
        return Share(self.parts - 1, self.bytes - size)


@dataclass(frozen=True, slots=True)
class Wait:
    """The request ``owner`` has a part of ``size`` bytes to send; it waits with one at a time."""

    owner: int
    size: int


@dataclass(frozen=True, slots=True)
class WindowState:
    """``held`` by owner; ``waiting`` in order of arrival."""

    limits: WindowLimits
    held: dict[int, Share]
    waiting: tuple[Wait, ...] = ()


def grant(state: WindowState) -> tuple[WindowState, tuple[Wait, ...]]:
    """Lets in whom there is room for, always whoever holds least, and the first come among equals.

    The one who holds least is not overtaken for want of room: a large part would wait for ever.
    """
    granted: list[Wait] = []
    while (chosen := _next(state)) is not None:
        share = state.held.get(chosen.owner, Share()).plus(chosen.size)
        waiting = tuple(one for one in state.waiting if one is not chosen)
        state = replace(state, held={**state.held, chosen.owner: share}, waiting=waiting)
        granted.append(chosen)
    return state, tuple(granted)


def _next(state: WindowState) -> Wait | None:
    candidates = [one for one in state.waiting if _fits_owner(state, one)]
    if not candidates:
        return None
    chosen = min(candidates, key=lambda one: state.held.get(one.owner, Share()).parts)
    parts = sum(share.parts for share in state.held.values())
    size = sum(share.bytes for share in state.held.values())
    limits = state.limits
    has_room = parts < limits.parts and size + chosen.size <= limits.bytes
    # A part larger than the window goes alone.
    return chosen if has_room or not parts else None


def _fits_owner(state: WindowState, wait: Wait) -> bool:
    share, limits = state.held.get(wait.owner, Share()), state.limits
    fits = share.parts < limits.parts_each and share.bytes + wait.size <= limits.bytes_each
    return fits or not share.parts


class Window:
    """The shell of it: waiting is a future."""

    def __init__(self, limits: WindowLimits | None = None) -> None:
        self._state = WindowState(limits or WindowLimits(), {})
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._owners = 0

    def enter(self) -> int:
        """A number for a new request."""
        self._owners += 1
        return self._owners

    @property
    def is_empty(self) -> bool:
        return not self._state.held and not self._state.waiting

    async def acquire(self, owner: int, size: int) -> None:
        """Returns when there is room for a part. One call of an owner at a time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures[owner] = future
        self._state = replace(self._state, waiting=(*self._state.waiting, Wait(owner, size)))
        self._grant()
        await future

    def release(self, owner: int, size: int) -> None:
        self._state = replace(
            self._state, held={**self._state.held, owner: self._state.held[owner].minus(size)}
        )
        self._grant()

    def leave(self, owner: int) -> None:
        """The request has ended, however: what it holds is free."""
        held = {one: share for one, share in self._state.held.items() if one != owner}
        waiting = tuple(one for one in self._state.waiting if one.owner != owner)
        self._state = replace(self._state, held=held, waiting=waiting)
        self._futures.pop(owner, None)
        self._grant()

    def _grant(self) -> None:
        self._state, granted = grant(self._state)
        for wait in granted:
            future = self._futures.pop(wait.owner, None)
            if future is not None and not future.done():
                future.set_result(None)
