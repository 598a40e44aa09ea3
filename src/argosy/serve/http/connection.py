"""One HTTP/1.1 connection: reads requests, has them answered one after the other, writes the answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from argosy.errors import ArgosyError
from argosy.serve.http import limits
from argosy.serve.http.messages import CLOSE, Answer, Headers, RequestTimeout, failure, head
from argosy.serve.http.request import Request

if TYPE_CHECKING:
    from argosy.serve.http.shell import Shell

# How long a caller that was refused may take to read the answer, while what it sends is thrown away.
LINGER_SECONDS = 2.0

_NONE, _HEAD, _BODY = range(3)


class Connection(asyncio.Protocol):
    """At most one request is being answered; those behind it wait, and with them the caller."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._stage = _NONE
        self._received = 0
        self._last_size = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._incoming: Request | None = None
        self._requests: deque[Request] = deque()
        self._active: Request | None = None
        self._advancing = False
        self._deaf = False
        self._streaming = False
        self._reading_paused = False
        self._receiving = False
        self._held_bytes = 0
        self._writable: asyncio.Future[None] | None = None
        # The window in which the caller's progress is watched; the shell's sweep reads and renews it.
        self.window_began = 0.0
        self._window_bytes = 0
        self._window_unsent = 0

    @property
    def is_idle(self) -> bool:
        return self._stage == _NONE and self._active is None and not self._requests

    @property
    def waits_for_caller(self) -> bool:
        """Whether the caller has to send, or to read, before anything can go on here."""
        return self._writable is not None or (self._stage != _NONE and not self._reading_paused)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._shell.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shell.closed(self)
        self._deaf = True
        self._requests.clear()
        self._stage = _NONE
        self._note_progress()
        if self._writable is not None and not self._writable.done():
            self._writable.cancel()
        request, self._active = self._active, None
        if request is not None:
            self._shell.finished(request, 499)
            request.lose()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._last_size = len(data)
        if self._stage != _NONE:
            self._received += len(data)
            self._window_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Answered as it is: nothing here speaks anything else.
            self._deaf = True
            if self._requests:
                self._requests[-1].keep_alive = False
        except httptools.HttpParserError as error:
            self._refuse(limits.malformed(error))
        if self._stage == _HEAD and self._received > limits.HEAD_BYTES and not self._deaf:
            self._refuse(limits.large_head())
        if self._receiving or self._stage != _NONE:
            self._note_progress()
            if self._held_bytes and self._shell.held_bytes > limits.HELD_BYTES:
                self._refuse(limits.crowded())
        if self._requests:
            self._advance()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()
            self.window_began = 0.0
            self._shell.watch(self)

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
        if self._requests:
            self._advance()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._stage = _HEAD
        self.window_began = 0.0
        self._received = 0
        self._target = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        parser, headers = self._parser, self._headers
        if limits.is_large(headers, self._target, self._received + self._last_size):
            self._refuse(limits.large_head())
            return
        target = self._target
        if not target.startswith(b"/"):
            target = limits.origin_form(target)
        request = Request(self, parser.get_method().decode(), target, headers, time.monotonic())
        request.keep_alive = parser.should_keep_alive()
        request.version = parser.get_http_version()
        length = request.header(b"content-length")
        if length is not None:
            request.length = int(length)
        self._stage = _BODY
        self._incoming = request
        self._requests.append(request)

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None and not self._incoming.feed(body) and not self._deaf:
            self._pause_reading()

    def on_message_complete(self) -> None:
        self._stage = _NONE
        request, self._incoming = self._incoming, None
        if request is not None:
            request.end()

    # What requests call.

    def want_body(self, request: Request) -> None:
        """Go on reading; a caller that waits to be told is told."""
        if request.complete:
            return
        self._resume_reading()
        if request is self._incoming and request.takes_continue():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def finish(self, request: Request, answer: Answer) -> None:
        """Write the answer, and go on to the next request when this one has been read to its end."""
        if self._active is not request:
            return
        self._active = None
        self._shell.finished(request, answer.status)
        self._transport.write(self._shell.encoded(request, answer))
        self._after(request)

    def begin_stream(self, request: Request, status: int, headers: Headers, framing: Headers) -> None:
        self._streaming = True
        extra = framing + self._shell.connection_header(request) + self._shell.extra_headers
        self._transport.write(head(status, headers, extra) + b"\r\n")

    async def write(self, data: bytes) -> None:
        """Waits until the caller has read enough of what was written before."""
        if self._writable is not None:
            await asyncio.shield(self._writable)
        self._transport.write(data)

    def finish_stream(self, request: Request, status: int, *, whole: bool) -> None:
        self._streaming = False
        if self._active is not request:
            return
        self._active = None
        self._shell.finished(request, status)
        if whole:
            self._after(request)
        else:
            self._transport.abort()

    def write_past_loop(self, answer: Answer) -> None:
        data = head(answer.status, answer.headers, CLOSE) + b"content-length: %d\r\n\r\n" % len(answer.body)
        with contextlib.suppress(OSError):
            os.write(self._transport.get_extra_info("socket").fileno(), data + answer.body)

    # What the shell calls.

    def begin_window(self, now: float) -> None:
        self.window_began = now
        self._window_bytes = 0
        self._window_unsent = limits.unsent(self._transport) if self._writable is not None else 0

    def moved_bytes(self) -> int:
        """What the caller has sent, or taken of what waits for it, since the window began."""
        if self._writable is None:
            return self._window_bytes
        # Writing may go on only once much of the kernel's buffer is free: that is no measure of a caller.
        return self._window_unsent - limits.unsent(self._transport)

    def time_out(self) -> None:
        """The caller was too slow: to send, which it is told, or to read."""
        if self._writable is not None:
            self._transport.abort()
            return
        error = RequestTimeout(
            "the request did not arrive in time", hint="send it in one piece, and its whole content-length"
        )
        incoming = self._incoming
        if self._active is not None and incoming is not self._active:
            return
        if self._active is None or not self._active.fail(error):
            self._refuse(error)

    def drop(self) -> None:
        """Close once what was written is out; nothing more is read."""
        self._deaf = True
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _advance(self) -> None:
        # Answers that come at once would otherwise recurse, as deep as a pipeline is long.
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._requests and self._active is None and self._writable is None:
                request = self._requests[0]
                try:
                    if not self._shell.is_ready(request):
                        return
                    self._requests.popleft()
                    self._active = request
                    self._shell.start(self, request)
                except ArgosyError as error:
                    self._give_up(request, failure(error))
        finally:
            self._advancing = False
        if self._requests and not self._reading_paused and not self._deaf:
            # The parser has gone on to what comes after the request being answered.
            if self._active is not None or self._writable is not None:
                self._pause_reading()
        elif not self._requests and self._incoming is None:
            self._resume_reading()

    def _give_up(self, request: Request, answer: Answer) -> None:
        if self._requests and self._requests[0] is request:
            self._requests.popleft()
            self._active = request
            self._shell.count(request)
        self.finish(request, answer)

    def _after(self, request: Request) -> None:
        if not request.complete:
            self._linger()
        elif not request.keep_alive or self._deaf:
            self.drop()
        elif self._requests or self._reading_paused:
            self._advance()

    def _refuse(self, error: ArgosyError) -> None:
        """Say what is wrong with what can not be read as a request, and hear no more."""
        self._deaf = True
        if self._active is not None or self._requests:
            # What came before is answered first; the caller then sees the connection close.
            if self._incoming is None:
                return
            self._requests.clear()
            request, self._active = self._active, None
            if request is not None:
                self._shell.finished(request, 400)
                request.lose()
        if self._streaming:
            self._transport.abort()
            return
        answer = failure(error)
        start = head(answer.status, answer.headers, CLOSE + self._shell.extra_headers)
        self._transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (start, len(answer.body), answer.body))
        self._linger()

    def _linger(self) -> None:
        # Closing with unread bytes makes the kernel reset the connection, and the answer may be lost with it.
        self._deaf = True
        self._incoming = None
        self._stage = _NONE
        self._note_progress()
        self._requests.clear()
        self._resume_reading()
        if self._transport.is_closing():
            return
        with contextlib.suppress(OSError, RuntimeError, NotImplementedError):
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self.window_began = 0.0
            self._transport.resume_reading()
            if self._stage != _NONE:
                self._shell.watch(self)

    def _note_progress(self) -> None:
        receiving = self._stage != _NONE and not self._deaf
        held = self._incoming.buffered if receiving and self._incoming is not None else 0
        self._shell.held_bytes += held - self._held_bytes
        self._held_bytes = held
        if receiving:
            self._shell.watch(self)
        if receiving != self._receiving:
            self._receiving = receiving
            self._shell.note_arriving(1 if receiving else -1)
