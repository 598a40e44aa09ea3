"""Serving: an address, a handler, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from argosy import reporting
from argosy.serve.http.messages import (
    JSON,
    Answer,
    Handler,
    Headers,
    QuickHandler,
    StreamedAnswer,
    method_not_allowed,
    not_found,
)
from argosy.serve.http.request import ClientGone, Request
from argosy.serve.http.shell import WINDOW_SECONDS, Shell

__all__ = [
    "JSON",
    "Address",
    "Answer",
    "ClientGone",
    "Handler",
    "Headers",
    "Listening",
    "QuickHandler",
    "Request",
    "Shell",
    "StreamedAnswer",
    "listen",
    "method_not_allowed",
    "not_found",
    "serve",
]

BACKLOG = 2048
OPEN_FILES = 16_384
CLOSE_SECONDS = 1.0

# A path is a unix socket, a number a loopback port (0: one of the kernel's choice).
Address = str | int | socket.socket


class Listening:
    """A server at work. ``port`` is 0 for a unix socket."""

    def __init__(self, shell: Shell, handler: Handler, listener: socket.socket, server: Any) -> None:
        self.shell = shell
        self._handler = handler
        self._listener = listener
        self._server = server
        self.port: int = listener.getsockname()[1] if listener.family == socket.AF_INET else 0

    @property
    def in_flight(self) -> int:
        return self.shell.in_flight

    async def drain(self) -> None:
        """Answers what is in flight and what still comes, saying goodbye, until nobody asks any more."""
        await self.shell.drain()

    async def close(self, grace_seconds: float = CLOSE_SECONDS) -> None:
        """New connections are refused, requests that have no answer in this time are cut off."""
        path = self._listener.getsockname() if self._listener.family == socket.AF_UNIX else None
        self._server.close()
        await self.shell.close(grace_seconds)
        self._listener.close()
        if path:
            with contextlib.suppress(OSError):
                Path(path).unlink()
        await self._handler.close()


async def listen(
    handler: Handler, address: Address, *, window_seconds: float = WINDOW_SECONDS, headers: Headers = ()
) -> Listening:
    """Serve ``handler`` in the running loop, with ``headers`` on every answer.

    A unix socket that is left from before is replaced; only its owner may open it.
    """
    shell = Shell(handler, window_seconds=window_seconds, headers=headers)
    listener = _listener(address)
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        server: Any = await loop.create_unix_server(shell.connection, sock=listener, backlog=BACKLOG)
    else:
        server = await loop.create_server(shell.connection, sock=listener, backlog=BACKLOG)
    return Listening(shell, handler, listener, server)


def serve(build: Callable[[], Handler], address: Address = 0) -> None:
    """Serve, report ``listening`` with the port or path, and return after SIGTERM when drained.

    A handler may have ``async def open(self, listening: Listening) -> dict``: what it adds to the report.
    """
    _allow_connections()
    _tune_garbage_collection()
    uvloop.run(_serve(build, address))


async def _serve(build: Callable[[], Handler], address: Address) -> None:
    handler = build()
    attempt = reporting.current().attempt
    headers: Headers = ((b"x-argosy-replica", attempt.encode()),) if attempt else ()
    listening = await listen(handler, address, headers=headers)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    report: dict[str, Any] = {"path": address} if isinstance(address, str) else {"port": listening.port}
    if hasattr(handler, "open"):
        report |= await handler.open(listening)
    reporting.current().report("listening", report)
    await ended.wait()
    await listening.drain()
    await listening.close()


def _listener(address: Address) -> socket.socket:
    if isinstance(address, socket.socket):
        return address
    if isinstance(address, int):
        return socket.create_server(("127.0.0.1", address), backlog=BACKLOG)
    with contextlib.suppress(FileNotFoundError):
        Path(address).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    Path(address).chmod(0o600)
    listener.listen(BACKLOG)
    return listener


def _allow_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, OPEN_FILES) if hard != resource.RLIM_INFINITY else OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tune_garbage_collection() -> None:
    # What is loaded by now lives as long as the process: scanning it again only makes pauses.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
