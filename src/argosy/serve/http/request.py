"""One HTTP request as its handler sees it; the body comes as fast as the handler takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from argosy.errors import ArgosyError
from argosy.serve.http.messages import Answer, too_large

if TYPE_CHECKING:
    from argosy.serve.http.connection import Connection

# What is held of a body that nobody has asked for yet.
READ_AHEAD_BYTES = 256 * 1024


class ClientGone(ConnectionResetError):
    """The caller closed the connection before its request was whole."""


class Request:
    """``path`` is decoded and has no query; ``headers`` have lower-case names, in the order they came.

    ``gone`` says that the caller closed the connection; ``on_gone`` is called once when that happens.
    """

    __slots__ = (
        "_buffered",
        "_chunks",
        "_connection",
        "_room",
        "_waiter",
        "_whole",
        "complete",
        "gone",
        "headers",
        "is_head",
        "keep_alive",
        "length",
        "method",
        "on_gone",
        "path",
        "query",
        "started",
        "task",
        "version",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        started: float,
    ) -> None:
        self._connection = connection
        self.method = "GET" if method == "HEAD" else method
        self.is_head = method == "HEAD"
        path, _, self.query = target.partition(b"?")
        text = path.decode("latin-1")
        self.path = unquote(text) if "%" in text else text
        self.headers = headers
        self.started = started
        self.length: int | None = None
        self.keep_alive = True
        self.version = "1.1"
        self.complete = False
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        self.task: asyncio.Task[None] | None = None
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._room = READ_AHEAD_BYTES
        self._whole = False
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge as soon as it is known to hold more than ``limit`` bytes."""
        self.expect_whole(limit)
        while not self.complete:
            await self._more()
        self.check_size()
        return self.taken()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes: the caller is not read from while nobody takes what is there."""
        self._connection.want_body(self)
        while True:
            while self._chunks:
                chunk = self._chunks.pop(0)
                self._buffered -= len(chunk)
                if self._buffered <= READ_AHEAD_BYTES // 2 and not self.complete:
                    self._connection.want_body(self)
                yield chunk
            if self.complete:
                return
            await self._more()

    def reply(self, answer: Answer) -> None:
        """The answer to a request that was begun; nothing happens when the caller has gone."""
        self._connection.finish(self, answer)

    def reply_before_exit(self, answer: Answer) -> None:
        """Writes the answer past the event loop, from any thread, in a process that exits right after."""
        self._connection.write_past_loop(answer)

    # What follows is for the connection.

    def expect_whole(self, limit: int) -> None:
        """Keep all of the body, up to ``limit``. Raises TooLarge."""
        self._whole = True
        self._room = limit
        self.check_size()
        self._connection.want_body(self)

    @property
    def buffered(self) -> int:
        return self._buffered

    def check_size(self) -> None:
        size = max(self._buffered, self.length or 0)
        if size > self._room:
            raise too_large(size, self._room)

    def taken(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        self._buffered = 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def takes_continue(self) -> bool:
        """Whether the caller waits to be told to go on; true once."""
        expects = (b"expect", b"100-continue")
        for header in self.headers if self.version == "1.1" else ():
            if (header[0], header[1].lower()) == expects:
                self.headers.remove(header)
                return True
        return False

    def feed(self, chunk: bytes) -> bool:
        """Whether there is room for more."""
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        has_room = self._buffered <= self._room
        if self._whole and not has_room:
            self.fail(too_large(self._buffered, self._room))
        elif not self._whole:
            self.wake()
        return has_room

    def end(self) -> None:
        self.complete = True
        if self._waiter is not None:
            self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: ArgosyError | ClientGone) -> bool:
        """Raise this where the body is awaited, if it is."""
        if self._waiter is None or self._waiter.done():
            return False
        self._waiter.set_exception(error)
        return True

    def lose(self) -> None:
        """The caller has gone."""
        if self.gone:
            return
        self.gone = True
        if self.task is not None:
            self.task.cancel()
        elif self.on_gone is not None:
            self.on_gone()

    async def _more(self) -> None:
        if self.gone:
            raise ClientGone
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
