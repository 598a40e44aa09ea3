"""The control plane's process: lock the home, recover, serve the API on its socket, end cleanly."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from argosy import __version__
from argosy.api.codec import error_view
from argosy.api.process import (
    Announcement,
    ControlProcess,
    announce,
    control_file,
    start_ticks,
    write_control_process,
)
from argosy.control.http import create_app
from argosy.control.lock import HomeLock, prepare
from argosy.control.plane import ControlPlane
from argosy.errors import ArgosyError
from argosy.home import Home
from argosy.metadata.store import MetadataStore

_LOG = logging.getLogger(__name__)
_BACKLOG = 128


def run(home: Home, ready_fd: int | None) -> int:
    """Serve until told to stop; the exit code. Whoever started it hears once, on ``ready_fd``."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    lock = HomeLock(home.control_lock)
    try:
        prepare(home)
        lock.acquire()
        store = MetadataStore.open(home.database)
    except ArgosyError as error:
        lock.release()
        return _refuse(error, ready_fd)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(home, store, ready_fd))
    finally:
        lock.release()


def _refuse(error: ArgosyError, ready_fd: int | None) -> int:
    """Say why nothing is served; the exit code."""
    _LOG.error("%s", error)
    if ready_fd is not None:
        announce(ready_fd, Announcement(error=error_view(error)))
    return error.exit_code


async def _serve(home: Home, store: MetadataStore, ready_fd: int | None) -> int:
    plane = ControlPlane(home, store)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, plane.stopped.set)
    try:
        await plane.start()
        listener = _listen(home, plane.started_at)
    except BaseException as error:
        await plane.abandon()
        if isinstance(error, ArgosyError):
            return _refuse(error, ready_fd)
        raise
    app = create_app(plane)
    server = _Server(
        uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=5,
            date_header=False,
        )
    )
    serving = loop.create_task(server.serve(sockets=[listener]))
    if ready_fd is not None:
        announce(ready_fd, Announcement(ready=True))
    _settle_memory()
    await plane.stopped.wait()
    app.state.streams.stop()
    server.ended.set()
    await serving
    await plane.close()
    home.control_socket.unlink(missing_ok=True)
    control_file(home).unlink(missing_ok=True)
    return 0


class _Server(uvicorn.Server):
    """Signals are the control plane's own business, and so is its end: uvicorn would wake ten times a second
    to look for it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ended.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(home: Home, started_at: float) -> socket.socket:
    """The API's socket, and the record of who serves it. Raises Unavailable when they can not be made."""
    pid = os.getpid()
    try:
        listener = _bind(home)
        write_control_process(home, ControlProcess(pid, start_ticks(pid) or 0, __version__, started_at))
    except OSError as error:
        raise home.unusable(error) from error
    return listener


def _bind(home: Home) -> socket.socket:
    # The home's lock is held, so a socket file that is there is a dead one's.
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Addressed through the folder's descriptor: a socket's own path may not be longer than 107 bytes.
    folder = os.open(home.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        home.control_socket.unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{folder}/{home.control_socket.name}")
    finally:
        os.close(folder)
    home.control_socket.chmod(0o600)
    listener.listen(_BACKLOG)
    return listener


def _settle_memory() -> None:
    """What was imported stays: keep the collector from walking it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
