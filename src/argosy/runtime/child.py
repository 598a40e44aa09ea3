"""A forked child: waits for the work of one rank, makes itself a process of its own, does it and exits."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import json
import os
import random
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from argosy import reporting
from argosy.runtime import linux
from argosy.runtime.frames import Deframer, Finished, Go, Hello, Said, decode_go, encode, frame
from argosy.runtime.protocol import AttemptSpec, Cause, Outcome, Program

_DROPPABLE = frozenset({"metrics", "progress"})
_REPORT_BACKLOG = 1 << 20
_CAPTURED = 1 << 16


def find_source(home: str, digest: str) -> None:
    """Put a snapshot of the user's code first on the import path."""
    folder = f"{home}/sources/{digest}"
    if folder not in sys.path:
        sys.path.insert(0, folder)


def tie_to_launcher(launcher: int) -> None:
    """Die when the launcher does."""
    # Until the process in between has gone this one is not yet the launcher's child.
    deadline = time.monotonic() + 10
    while os.getppid() != launcher:
        if time.monotonic() > deadline or not _exists(launcher):
            os._exit(1)
        os.sched_yield()
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != launcher:
        os._exit(1)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def run(descriptor: int, home: str, launcher: int, captured: int) -> None:
    """Wait for work and do it. Does not return."""
    code = 1
    try:
        channel = Channel(descriptor)
        _prepare()
        channel.say_hello()
        go = channel.wait_for_work()
        if go is None:
            os._exit(0)
        os.setsid()
        tie_to_launcher(launcher)
        code = _work(channel, go, home, captured)
        _leave()
    except BaseException as error:
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        with contextlib.suppress(BaseException):
            _flush()
        os._exit(code)


def _prepare() -> None:
    """What can be done before the work is known."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        linux.write("/proc/self/oom_score_adj", "1000")
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    gc.enable()


class Channel:
    """The rank's socket to the launcher. Reports never wait; the last word does."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._pending = bytearray()

    def say_hello(self) -> None:
        pid = os.getpid()
        resident, shared = linux.resident_and_shared(pid)
        self._socket.sendall(frame(Hello(pid, linux.start_ticks(pid) or 0, resident, shared)))

    def wait_for_work(self) -> Go | None:
        """The work, or None when the launcher has no use for this process any more."""
        deframer = Deframer()
        while data := self._socket.recv(1 << 16):
            for body in deframer.feed(data):
                return decode_go(body)
        return None

    def report(self, kind: str, body: Mapping[str, Any]) -> None:
        """Send, or keep what must not be lost, or drop the rest. Never raises."""
        # A process forked by the step shares this socket, but not the rank.
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(Exception), self._lock:
            if not self._send_pending() and (kind in _DROPPABLE or len(self._pending) > _REPORT_BACKLOG):
                return
            self._pending += frame(Said(kind, msgspec.Raw(encode(body)), time.time()))
            self._send_pending()

    def _send_pending(self) -> bool:
        while self._pending:
            try:
                sent = self._socket.send(self._pending, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return False
            except OSError:
                self._pending.clear()
                return True
            del self._pending[:sent]
        return True

    def finish(self, finished: Finished) -> None:
        """The last word. Waits until the launcher takes it."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            data = self._pending + frame(finished)
            self._pending = bytearray()
            with contextlib.suppress(OSError):
                while data:
                    try:
                        del data[: self._socket.send(data, socket.MSG_NOSIGNAL)]
                    except BlockingIOError:
                        select.select([], [self._socket], [])


def _work(channel: Channel, go: Go, home: str, captured: int) -> int:
    spec = go.spec
    try:
        _open_log(spec, go.rank, captured)
        _enter_scratch(spec)
        _set_environment(spec, go)
    except OSError as error:
        channel.finish(Finished(_not_set_up(error, go.rank)))
        return 1
    if isinstance(spec.call, Program):
        return _replace_process(channel, spec.call, go.rank)
    linux.adopt_orphans()
    reporting.install(
        reporting.CurrentAttempt(
            spec.attempt,
            go.rank,
            spec.workers,
            Path(spec.directory),
            Path(spec.node_directory) if spec.node_directory else None,
            channel.report,
        )
    )
    from argosy.runtime import worker

    finished, code = worker.execute(spec, go.rank, home)
    channel.finish(finished)
    return code


def _not_set_up(error: OSError, rank: int) -> Outcome:
    what = error.filename or "the process"
    return Outcome(
        Cause.ERROR,
        f"{what} can not be set up: {error.strerror or error}\nhint: check the disk of ARGOSY_HOME",
        rank=rank,
        error_type=type(error).__name__,
    )


def _open_log(spec: AttemptSpec, rank: int, captured: int) -> None:
    """Standard output and error go to the log from here on."""
    path = spec.log.replace("{rank}", str(rank))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        log = os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        log = os.open(path, flags, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if printed := os.pread(captured, _CAPTURED, 0):
        os.write(1, printed)
    os.close(captured)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(  # type: ignore[union-attr]
            encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False
        )
    faulthandler.enable()


def _enter_scratch(spec: AttemptSpec) -> None:
    try:
        os.mkdir(spec.directory)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(spec.directory, exist_ok=True)
    os.chdir(spec.directory)
    if spec.node_directory:
        os.makedirs(spec.node_directory, exist_ok=True)


def _set_environment(spec: AttemptSpec, go: Go) -> None:
    threads = max(1, round(spec.cpu))
    rank, workers = str(go.rank), str(spec.workers)
    environment = {
        "TMPDIR": spec.directory,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        # With one thread a collective that waits for its peers would keep out what they wait for.
        "TF_NUM_INTEROP_THREADS": str(max(2, threads)),
        "ARGOSY_ATTEMPT": spec.attempt,
        "ARGOSY_RANK": rank,
        "ARGOSY_WORKERS": workers,
    }
    if go.peers:
        host, port = go.master.rsplit(":", 1)
        cluster = {"cluster": {"worker": go.peers}, "task": {"type": "worker", "index": go.rank}}
        environment |= {
            "TF_CONFIG": json.dumps(cluster),
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": workers,
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
        }
    os.environ.update(environment)
    os.environ.update(spec.environment)


def _replace_process(channel: Channel, program: Program, rank: int) -> int:
    try:
        os.execvp(program.argv[0], program.argv)
    except (OSError, ValueError, IndexError) as error:
        name = program.argv[0] if program.argv else ""
        message = f"program {name!r} can not be started: {getattr(error, 'strerror', None) or error}"
        channel.finish(Finished(Outcome(Cause.ERROR, message, rank=rank, error_type=type(error).__name__)))
    return 127


def _leave() -> None:
    """What an interpreter does at its end, short of taking itself apart."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
