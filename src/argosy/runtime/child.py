"""A forked child: waits for the work of one rank, makes itself a process of its own, does it and exits."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

from argosy import reporting
from argosy.runtime import linux, surroundings
from argosy.runtime.channel import Channel
from argosy.runtime.frames import Finished, Go
from argosy.runtime.protocol import Cause, Outcome, Program


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
        gc.enable()
        linux.set_name("argosy-idle")
        channel = Channel(descriptor)
        channel.say_hello()
        if not channel.has_work():
            _rehearse()
        go = channel.wait_for_work()
        if go is None:
            os._exit(0)
        os.setsid()
        linux.set_name("argosy-step" if go.spec.workers == 1 else f"argosy-rank{go.rank}")
        tie_to_launcher(launcher)
        _reseed()
        code = _work(channel, go, home, captured)
        _leave()
    except BrokenPipeError:
        pass  # the launcher is gone, or has no use for this process any more
    except BaseException as error:
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        with contextlib.suppress(BaseException):
            _flush()
        os._exit(code)


def prepare() -> None:
    """What every child wants and inherits; done by templates before they import anything of the user's."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        linux.write("/proc/self/oom_score_adj", "1000")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(  # type: ignore[union-attr]
            encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False
        )
    faulthandler.enable()


def _reseed() -> None:
    """Ranks and attempts must not share a random state; the standard library sees to its own."""
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()


def _rehearse() -> None:
    from argosy.runtime.rehearsal import rehearse

    rehearse()


def _work(channel: Channel, go: Go, home: str, captured: int) -> int:
    spec = go.spec
    try:
        surroundings.open_log(spec, go.rank, captured)
        surroundings.enter_scratch(spec)
        surroundings.set_environment(spec, go)
    except OSError as error:
        channel.finish(Finished(_not_set_up(error, go.rank)))
        return 1
    if isinstance(spec.call, Program):
        return _replace_process(channel, spec.call, go.rank)
    surroundings.limit_memory(spec)
    surroundings.limit_threads(spec)
    linux.adopt_orphans()
    node_directory = Path(spec.node_directory) if spec.node_directory else None
    reporting.install(
        reporting.CurrentAttempt(
            spec.attempt, go.rank, spec.workers, Path(spec.directory), node_directory, channel.report
        )
    )
    from argosy.runtime import worker

    finished, code = worker.execute(spec, go.rank, home)
    _log_traceback(finished.outcome)
    channel.finish(finished)
    return code


def _log_traceback(outcome: Outcome) -> None:
    # The step may have closed or replaced what it writes to.
    if outcome.traceback:
        with contextlib.suppress(Exception):
            _flush()
            sys.stderr.write(outcome.traceback)


def _not_set_up(error: OSError, rank: int) -> Outcome:
    what = error.filename or "the process"
    return Outcome(
        Cause.ERROR,
        f"{what} can not be set up: {error.strerror or error}\nhint: check the disk of ARGOSY_HOME",
        rank=rank,
        error_type=type(error).__name__,
    )


def _replace_process(channel: Channel, program: Program, rank: int) -> int:
    # Python ignores it, and what is ignored stays so in the program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
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
