"""What all connections of a server share: health, errors, slow callers, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from typing import Any, cast

from argosy.errors import ArgosyError
from argosy.serve.http.connection import Connection
from argosy.serve.http.messages import (
    CLOSE,
    KEEP,
    Answer,
    Handler,
    Headers,
    QuickHandler,
    StreamedAnswer,
    failure,
    head,
    method_not_allowed,
    unexpected,
)
from argosy.serve.http.request import ClientGone, Request

LIVE_PATHS = frozenset(("/healthz", "/v2/health/live"))
READY_PATHS = frozenset(("/readyz", "/v2/health/ready"))
LIVE = Answer(200, b'{"live":true}')
READY = Answer(200, b'{"ready":true}')
STOPPING = Answer(503, b'{"ready":false,"error":"this process is stopping"}')

# An ending process goes on answering until nobody has asked for this long, or until the gateway was told.
QUIET_SECONDS = 0.25
LINGER_SECONDS = 2.0
ON_ITS_WAY_SECONDS = 0.1
# Tells Envoy to stop choosing this process before its next health check.
LEAVING: Headers = ((b"x-envoy-immediate-health-check-fail", b"true"),)

CONNECTIONS = 4096
HEADS_KEPT = 64
# A caller that has to send or to read must move this many bytes, or be done, in every window.
SWEEP_SECONDS = 1.0
WINDOW_SECONDS = 10.0
WINDOW_BYTES = 16 * 1024


class Shell:
    """Counts what is in flight and turns every error into an answer.

    ``window_seconds`` is how long a head, and each 16 KiB of a body, may take to arrive. ``headers`` are put
    on every answer.
    """

    def __init__(
        self, handler: Handler, *, window_seconds: float = WINDOW_SECONDS, headers: Headers = ()
    ) -> None:
        self._handler = handler
        self._quick = cast(QuickHandler, handler) if hasattr(handler, "begin") else None
        self._window_seconds = window_seconds
        self._sweep_seconds = min(SWEEP_SECONDS, window_seconds / 4)
        self._connections: dict[Connection, None] = {}
        self._watched: dict[Connection, None] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._gateway_told = asyncio.Event()
        self._heads: dict[tuple[int, Headers], bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.extra_headers = headers
        self.draining = False
        # How many connections are in the middle of sending a request, and who is told when it gets less.
        self.arriving = 0
        # What requests hold that are not whole yet.
        self.held_bytes = 0
        self.on_fewer_arriving: Callable[[], None] | None = None

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def connections(self) -> int:
        return len(self._connections)

    def connection(self) -> Connection:
        """The factory of protocols."""
        return Connection(self)

    def opened(self, connection: Connection) -> None:
        if len(self._connections) >= CONNECTIONS:
            oldest = next((one for one in self._connections if one.is_idle), connection)
            oldest.abort()
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._watched.pop(connection, None)

    # The life of a request.

    def is_ready(self, request: Request) -> bool:
        """Whether :meth:`start` may have it. Raises TooLarge."""
        if self._quick is None or request.path in LIVE_PATHS or request.path in READY_PATHS:
            return True
        limit = self._quick.quick_limit(request)
        if limit is None:
            return True
        if not request.complete:
            request.expect_whole(limit)
            return False
        request.expect_whole(limit)
        return True

    def count(self, request: Request) -> None:
        self._in_flight += 1
        self._requests += 1

    def start(self, connection: Connection, request: Request) -> None:
        path = request.path
        self._in_flight += 1
        if path in LIVE_PATHS or path in READY_PATHS:
            health = self._health(path) if request.method == "GET" else method_not_allowed(request, "GET")
            connection.finish(request, health)
            return
        self._requests += 1
        if self._quick is not None and self._quick.quick_limit(request) is not None:
            self._begin(request)
            return
        task = asyncio.get_running_loop().create_task(self._answer(connection, request))
        request.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def finished(self, request: Request, status: int) -> None:
        self._in_flight -= 1
        if not self._in_flight and self.draining:
            self._idle.set()

    def encoded(self, request: Request, answer: Answer) -> bytes:
        """The whole answer, as it goes out."""
        if request.keep_alive and request.complete and request.version == "1.1" and not self.draining:
            start = self._kept_head(answer.status, answer.headers)
        else:
            extra = self.connection_header(request) + self.extra_headers
            start = head(answer.status, answer.headers, extra)
        body = b"" if request.is_head or answer.status in (204, 304) else answer.body
        return b"%bcontent-length: %d\r\n\r\n%b" % (start, len(answer.body), body)

    def connection_header(self, request: Request) -> Headers:
        """What is said of the connection; decides whether it is kept."""
        if not request.keep_alive or not request.complete or self.draining:
            request.keep_alive = False
            return CLOSE
        return KEEP if request.version == "1.0" else ()

    def _kept_head(self, status: int, headers: Headers) -> bytes:
        """The encoded head of an answer after which the connection is kept."""
        known = self._heads.get((status, headers))
        if known is not None:
            return known
        encoded = head(status, headers, self.extra_headers)
        if len(self._heads) < HEADS_KEPT:
            self._heads[status, headers] = encoded
        return encoded

    # Callers that are in the middle of something.

    def note_arriving(self, change: int) -> None:
        self.arriving += change
        if change < 0 and self.on_fewer_arriving is not None:
            self.on_fewer_arriving()

    def watch(self, connection: Connection) -> None:
        if connection in self._watched:
            return
        connection.window_began = 0.0
        self._watched[connection] = None
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._sweep_seconds, self._look_for_the_slow)

    def _look_for_the_slow(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._watched):
            if not connection.waits_for_caller:
                del self._watched[connection]
            elif not connection.window_began:
                connection.begin_window(now)
            elif now - connection.window_began >= self._window_seconds:
                is_slow = connection.moved_bytes() < WINDOW_BYTES
                connection.begin_window(now)
                if is_slow:
                    connection.time_out()
        if self._watched:
            self._sweep = asyncio.get_running_loop().call_later(self._sweep_seconds, self._look_for_the_slow)

    # The end.

    async def drain(self) -> None:
        """Returns when no more requests are to be expected and every one in flight has its answer."""
        self.draining = True
        self.extra_headers = (*self.extra_headers, *LEAVING)
        self._heads.clear()
        deadline = asyncio.get_running_loop().time() + LINGER_SECONDS
        requests = -1
        while self._is_wanted(requests) and asyncio.get_running_loop().time() < deadline:
            requests = self._requests
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gateway_told.wait(), QUIET_SECONDS)
                # What it sent before it heard of it is still on its way.
                await asyncio.sleep(ON_ITS_WAY_SECONDS)
                break
        while self._in_flight:
            self._idle.clear()
            await self._idle.wait()

    async def close(self, grace_seconds: float) -> None:
        """Ends every connection once what was written is out, and requests that have no answer by then."""
        self.draining = True
        if self._sweep is not None:
            self._sweep.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for connection in list(self._connections):
            connection.drop()

    def _is_wanted(self, requests: int) -> bool:
        return requests != self._requests or self.arriving > 0

    def _health(self, path: str) -> Answer:
        if path in LIVE_PATHS:
            return LIVE
        if not self.draining:
            return READY
        self._gateway_told.set()
        return STOPPING

    def _begin(self, request: Request) -> None:
        assert self._quick is not None
        try:
            self._quick.begin(request, request.taken())
        except ArgosyError as error:
            request.reply(failure(error))
        except Exception:
            traceback.print_exc()
            request.reply(unexpected())

    async def _answer(self, connection: Connection, request: Request) -> None:
        try:
            answer = await self._handler.answer(request)
        except ArgosyError as error:
            answer = failure(error)
        except ClientGone:
            return
        except Exception:
            traceback.print_exc()
            answer = unexpected()
        if isinstance(answer, StreamedAnswer):
            await _stream(connection, request, answer)
        else:
            connection.finish(request, answer)


async def _stream(connection: Connection, request: Request, answer: StreamedAnswer) -> None:
    is_chunked = answer.length is None and request.version == "1.1"
    if answer.length is not None:
        framing: Headers = ((b"content-length", b"%d" % answer.length),)
    elif is_chunked:
        framing = ((b"transfer-encoding", b"chunked"),)
    else:
        framing, request.keep_alive = (), False
    written, whole = 0, False
    connection.begin_stream(request, answer.status, answer.headers, framing)
    try:
        if not request.is_head:
            async for chunk in answer.body:
                written += len(chunk)
                if answer.length is not None and written > answer.length:
                    break
                if chunk:
                    await connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
            if is_chunked:
                await connection.write(b"0\r\n\r\n")
        whole = request.is_head or answer.length in (None, written)
        if not whole:
            print(f"an answer of {answer.length} bytes was to be written and had {written}", flush=True)  # noqa: T201
    except Exception:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            await _close(answer.body)
        connection.finish_stream(request, answer.status, whole=whole)


async def _close(body: Any) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
