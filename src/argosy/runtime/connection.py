"""One connection of the control plane to the launcher."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import cast

from argosy.runtime import frames


class Connection(asyncio.Protocol):
    """One connection to the launcher. ``inventory`` is its first word."""

    def __init__(
        self, on_answer: Callable[[frames.Answer], None], on_lost: Callable[[Connection], None]
    ) -> None:
        self.inventory: asyncio.Future[frames.Inventory] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self.launcher = 0
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._deframer = frames.Deframer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transports are Transports in all but name.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for body in self._deframer.feed(data):
            answer = frames.decode_answer(body)
            if isinstance(answer, frames.Inventory) and not self.inventory.done():
                self.launcher = answer.pid
                self.inventory.set_result(answer)
            self._on_answer(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.inventory.done():
            self.inventory.set_exception(ConnectionResetError("the launcher hung up"))
            self.inventory.exception()  # it may be that nobody waits for it
        self.lost.set()
        self._on_lost(self)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await self.lost.wait()


async def process_end(pid: int) -> None:
    """Wait until a process, a child or not, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
