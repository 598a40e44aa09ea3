"""Asking the members through the gateway's internal side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from argosy.serve.http.client import Client, RequestFailed
from argosy.serve.http.server import JSON, Headers, Request
from argosy.serve.router import retrying
from argosy.serve.router.quorum import Failure, Outcome
from argosy.serve.specs import RouterSpec

# What a trace and a log are put together by.
_PASSED_ON = (b"traceparent", b"tracestate", b"x-request-id")

MemberPath = Callable[[str], str]


def trace_of(request: Request) -> Headers:
    """The headers of a request that its sub-requests have too."""
    found = ((name, request.header(name)) for name in _PASSED_ON)
    return tuple((name, value) for name, value in found if value is not None)


class Members:
    """All members get the same question, each under its own name, and ``member_seconds`` for every try."""

    def __init__(self, spec: RouterSpec, tried: Callable[[str, Outcome], None]) -> None:
        """``tried`` hears of every prediction that was asked of a member, by its name."""
        self._tried = tried
        self._names = spec.members
        self._seconds = spec.ensemble.member_seconds
        self._client = Client(spec.socket, spec.authority)

    async def post(self, path: MemberPath, body: bytes, headers: Headers, retries: int) -> dict[str, Outcome]:
        """The last outcome of each, in the order of the members."""
        return await self._each(lambda name: self._post(name, path(name), body, (*JSON, *headers), retries))

    async def get(self, path: MemberPath) -> dict[str, Outcome]:
        return await self._each(lambda name: self._try("GET", path(name), b"", ()))

    def close(self) -> None:
        self._client.close()

    async def _each(self, ask: Callable[[str], Coroutine[Any, Any, Outcome]]) -> dict[str, Outcome]:
        if len(self._names) == 1:
            return {self._names[0]: await ask(self._names[0])}
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(ask(name)) for name in self._names}
        return {name: task.result() for name, task in tasks.items()}

    async def _post(self, name: str, path: str, body: bytes, headers: Headers, retries: int) -> Outcome:
        tries = retrying.Tries(retries)
        while True:
            outcome = await self._try("POST", path, body, headers)
            self._tried(name, outcome)
            tries, decision = retrying.decide(tries, outcome, random.random())
            if isinstance(decision, retrying.Enough):
                return outcome
            await asyncio.sleep(decision.after_seconds)

    async def _try(self, method: str, path: str, body: bytes, headers: Headers) -> Outcome:
        try:
            return await self._client.request(
                method, path, body, timeout_seconds=self._seconds, headers=headers
            )
        except RequestFailed as error:
            return Failure(str(error))
