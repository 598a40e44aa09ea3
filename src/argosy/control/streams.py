"""NDJSON responses: one JSON document a line, empty lines as a sign of life, an error as the last line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from fastapi.responses import StreamingResponse

from argosy.api.codec import Stopping, encode, error_view
from argosy.errors import ArgosyError

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_Queue = asyncio.Queue[bytes | None]


class Streams:
    """Every open stream of one application, so that a stop can end them, each with a ``stopping`` error."""

    def __init__(self, heartbeat_seconds: float) -> None:
        self._heartbeat = heartbeat_seconds
        self._pumps: set[asyncio.Task[None]] = set()
        self._stopping = False

    def stop(self) -> None:
        """End every stream, those that open later too. Call it in the event loop."""
        self._stopping = True
        for pump in self._pumps:
            pump.cancel()

    def response(self, items: AsyncIterator[T], render: Callable[[T], bytes]) -> StreamingResponse:
        return StreamingResponse(self._lines(items, render), media_type="application/x-ndjson")

    async def _lines(self, items: AsyncIterator[T], render: Callable[[T], bytes]) -> AsyncIterator[bytes]:
        queue: _Queue = asyncio.Queue(1)
        # A task of its own unwinds ``items`` in peace, however abruptly the caller hangs up.
        pump = asyncio.create_task(_pump(items, render, queue))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        if self._stopping:
            pump.cancel()
        try:
            async for line in self._until_done(queue, pump):
                yield line
        finally:
            pump.cancel()
        if self._stopping and pump.cancelled():
            yield _error_line(_stopping())

    async def _until_done(self, queue: _Queue, pump: asyncio.Task[None]) -> AsyncIterator[bytes]:
        getting = asyncio.ensure_future(queue.get())
        try:
            while True:
                await asyncio.wait(
                    {getting, pump}, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED
                )
                if getting.done():
                    line = getting.result()
                    if line is None:
                        return
                    yield line
                    getting = asyncio.ensure_future(queue.get())
                elif pump.done():
                    return
                else:
                    yield b"\n"
        finally:
            getting.cancel()


async def _pump(items: AsyncIterator[T], render: Callable[[T], bytes], queue: _Queue) -> None:
    """Move every item to the queue, then None."""
    try:
        async for item in items:
            await queue.put(render(item))
    except ArgosyError as error:
        await queue.put(_error_line(error))
    except Exception:
        _LOG.exception("a stream broke off")
        await queue.put(_error_line(ArgosyError("the control plane failed while it was answering")))
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
    await queue.put(None)


def _stopping() -> Stopping:
    return Stopping("the control plane is stopping", hint="'argosy up' starts it again, and its runs with it")


def _error_line(error: ArgosyError) -> bytes:
    return encode({"error": error_view(error)}) + b"\n"
