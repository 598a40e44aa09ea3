"""Parts of one request on their way: as many at once as the window lets, merged in their order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from argosy.serve.router.ensemble import Combined
from argosy.serve.router.failures import Refused
from argosy.serve.router.parts import Part
from argosy.serve.router.window import Window

Ask = Callable[[Part], Awaitable[Combined]]
Merge = Callable[[Part, Combined], Awaitable[None]]


class Pipeline:
    """The first failure ends everything that is under way, and is what :meth:`run` raises."""

    def __init__(self, window: Window, ask: Ask, merge: Merge) -> None:
        self._window = window
        self._ask = ask
        self._merge = merge
        self._owner = window.enter()

    async def run(self, parts: AsyncGenerator[Part, None]) -> None:
        """Returns when every part is merged; ``parts`` is asked for the next when there is room."""
        # Bounded by the window: what is in it holds a share of that.
        sent: asyncio.Queue[tuple[Part, asyncio.Task[Combined]] | None] = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as group, contextlib.aclosing(parts):
                group.create_task(self._merge_all(sent))
                async for part in parts:
                    await self._window.acquire(self._owner, part.size)
                    sent.put_nowait((part, group.create_task(self._answered(part))))
                sent.put_nowait(None)
        except BaseExceptionGroup as errors:
            raise _foremost(errors) from None
        finally:
            self._window.leave(self._owner)

    async def _answered(self, part: Part) -> Combined:
        return await self._ask(part)

    async def _merge_all(self, sent: asyncio.Queue[tuple[Part, asyncio.Task[Combined]] | None]) -> None:
        while (one := await sent.get()) is not None:
            part, task = one
            await self._merge(part, await task)
            self._window.release(self._owner, part.size)


def _foremost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What of all that went wrong is told: the caller's mistake before what else happened."""
    leaves = [
        _foremost(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions
    ]
    return next((one for one in leaves if isinstance(one, Refused)), leaves[0])
