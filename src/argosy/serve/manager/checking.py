"""Asks each replica now and then whether it lives: one that hangs keeps its connections open and its port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from argosy.runtime.protocol import AttemptId
from argosy.serve.http.client import Client, RequestFailed
from argosy.serve.lifecycle.state import ReplicaPhase, ServeState, all_replicas

# Whatever took this much longer than it may was not the replica: this process, or the machine, stood still.
_TOLERANCE_SECONDS = 1.0

Key = tuple[AttemptId, int]
OnCheck = Callable[[AttemptId, int, str], None]


class Checker:
    """Checks every ready replica while there is one. ``on_check(attempt, token, reason)`` is told of each
    check that failed, and of the first that did not after one that did (``reason`` is empty)."""

    def __init__(self, on_check: OnCheck, interval_seconds: float, timeout_seconds: float) -> None:
        self._on_check = on_check
        self._interval = interval_seconds
        self._timeout = timeout_seconds
        self._replicas: dict[Key, int] = {}
        self._clients: dict[Key, Client] = {}
        self._doubted: set[Key] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, state: ServeState) -> None:
        """From now on these."""
        self._replicas = {
            (replica.attempt, replica.token): replica.port
            for _, _, replica in all_replicas(state)
            if replica.phase is ReplicaPhase.READY and replica.port is not None
        }
        for key in self._clients.keys() - self._replicas.keys():
            self._clients.pop(key).close()
        self._doubted &= self._replicas.keys()
        if self._replicas and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif not self._replicas and self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        self.watch(ServeState())
        await asyncio.sleep(0)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.round()

    async def round(self) -> None:
        """Ask each of them once."""
        asked = dict(self._replicas)
        loop = asyncio.get_running_loop()
        started = loop.time()
        reasons = await asyncio.gather(*(self._ask(key, port) for key, port in asked.items()))
        if loop.time() - started > self._timeout + _TOLERANCE_SECONDS:
            return
        for key, reason in zip(asked, reasons, strict=True):
            if key in self._replicas and (reason or key in self._doubted):
                (self._doubted.add if reason else self._doubted.discard)(key)
                self._on_check(*key, reason)

    async def _ask(self, key: Key, port: int) -> str:
        client = self._clients.setdefault(key, Client(port))
        try:
            response = await client.request("GET", "/healthz", timeout_seconds=self._timeout)
        except RequestFailed as error:
            return str(error)
        return "" if response.status == 200 else f"it answered {response.status}"
