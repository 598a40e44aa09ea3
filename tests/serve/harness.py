"""Async tests, load, and the state they leave behind."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from argosy.serve.http.client import Client, RequestFailed, Response

Result = TypeVar("Result")

LIMIT_SECONDS = 40.0


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """An async function as a test: in a loop of its own, with a time limit."""

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        async def limited() -> None:
            async with asyncio.timeout(LIMIT_SECONDS):
                await test(*arguments, **fixtures)

        asyncio.run(limited())

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


async def until(condition: Callable[[], Result | None], what: str, seconds: float = 20.0) -> Result:
    """What ``condition`` gives once it is true; looks again every few milliseconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (result := condition()):
        assert asyncio.get_running_loop().time() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.005)
    return result


@dataclass
class Load:
    """Closed-loop callers: each sends its next request when the last is answered."""

    port: int
    path: str
    body: bytes
    callers: int = 8
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    on_answer: Callable[[Response], None] = lambda response: None

    async def during(self, action: Awaitable[Result], *, tail: int = 100) -> Result:
        """Load before, while and after ``action`` is done; ``tail`` answers on each side of it."""
        stop = asyncio.Event()
        callers = [asyncio.create_task(self._call(stop)) for _ in range(self.callers)]
        try:
            await until(lambda: self.answered >= tail, "the load to run")
            result = await action
            more = self.answered + tail
            await until(lambda: self.answered >= more, "the load to go on")
        finally:
            stop.set()
            await asyncio.gather(*callers)
        return result

    async def _call(self, stop: asyncio.Event) -> None:
        client = Client(self.port)
        try:
            while not stop.is_set():
                try:
                    response = await client.request("POST", self.path, self.body, timeout_seconds=15)
                except RequestFailed as error:
                    self.failures.append(str(error))
                    continue
                self.answered += 1
                self.statuses.add(response.status)
                self.on_answer(response)
                if response.status != 200:
                    self.failures.append(response.body.decode())
        finally:
            client.close()
