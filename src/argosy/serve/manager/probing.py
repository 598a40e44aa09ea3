"""Asking through the gateway whether a revision answers, as its callers will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from argosy.serve.gateway.envoy.routes import GATEWAY_HEALTH, REVISION_HEADER
from argosy.serve.http.client import Client, RequestFailed, Response
from argosy.serve.lifecycle.topology import Probe, authority

_TIMEOUT_SECONDS = 5.0
_FIRST_WAIT_SECONDS = 0.005
_LONGEST_WAIT_SECONDS = 0.2


class Prober:
    """One task for each probe that is wanted; ``on_answer`` is told of the answer it waited for."""

    def __init__(self, internal_socket: str, on_answer: Callable[[Probe], None]) -> None:
        self._internal_socket = internal_socket
        self._on_answer = on_answer
        self._tasks: dict[Probe, asyncio.Task[None]] = {}

    def probe(self, wanted: frozenset[Probe], port: int) -> None:
        """From now on these and no others."""
        for probe in self._tasks.keys() - wanted:
            self._tasks.pop(probe).cancel()
        for probe in wanted - self._tasks.keys():
            self._tasks[probe] = asyncio.get_running_loop().create_task(self._run(probe, port))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, probe: Probe, port: int) -> None:
        await answered(probe, self._internal_socket, port)
        self._on_answer(probe)


async def answered(probe: Probe, internal_socket: str, port: int) -> None:
    """Returns once the gateway gives the answer that ``probe`` waits for; the caller bounds the time."""
    wait = _FIRST_WAIT_SECONDS
    while not await _ask(probe, internal_socket, port):
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT_SECONDS)


async def _ask(probe: Probe, internal_socket: str, port: int) -> bool:
    try:
        if not probe.service:
            internal = await _get(Client(internal_socket), GATEWAY_HEALTH)
            public = await _get(Client(port), GATEWAY_HEALTH)
            return internal.status == public.status == 200
        client = Client(port) if probe.public else _internal(probe, internal_socket)
        response = await _get(client, f"/v1/models/{probe.service}")
        return _is_ready(response, probe.revision)
    except RequestFailed:
        return False


def _internal(probe: Probe, internal_socket: str) -> Client:
    return Client(internal_socket, authority(probe.service, probe.revision))


async def _get(client: Client, path: str) -> Response:
    try:
        return await client.request("GET", path, timeout_seconds=_TIMEOUT_SECONDS)
    finally:
        client.close()


def _is_ready(response: Response, revision: int) -> bool:
    if response.status != 200 or response.headers.get(REVISION_HEADER.encode()) != str(revision).encode():
        return False
    try:
        document: Any = orjson.loads(response.body)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("ready") is True
