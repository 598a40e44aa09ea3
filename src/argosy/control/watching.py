"""Who waits for news of a run, and how often they are told."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

from argosy.api.views import RunView

_INTERVAL = 0.2
# Showing a run of thousands of nodes takes long; watching may take a twentieth of a core at most.
_SHARE = 20.0


class Watchers:
    """Wakes the watchers of a run when it changes; each sees at most five views a second."""

    def __init__(self, view: Callable[[str], RunView], is_over: Callable[[str], bool]):
        self._view = view
        self._is_over = is_over
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    def changed(self, run: str) -> None:
        for event in self._waiting.get(run, ()):
            event.set()

    async def watch(self, run: str) -> AsyncIterator[RunView]:
        """The run now, then at each change, the final state at once, ending with it."""
        event = asyncio.Event()
        self._waiting[run].add(event)
        try:
            while True:
                event.clear()
                began = time.monotonic()
                view = self._view(run)
                took = time.monotonic() - began
                yield view
                if view.state != "running":
                    return
                await event.wait()
                await self._pause(run, event, max(_INTERVAL, took * _SHARE) - (time.monotonic() - began))
        finally:
            self._waiting[run].discard(event)
            if not self._waiting[run]:
                del self._waiting[run]

    async def _pause(self, run: str, event: asyncio.Event, seconds: float) -> None:
        """Let changes gather, but not past the run's end."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._is_over(run):
            event.clear()
            try:
                async with asyncio.timeout(left):
                    await event.wait()
            except TimeoutError:
                return
