"""Warm processes: each has imported something once and forks children that share it.

    launcher ──fork──► base template (tensorflow)            what a preload names
                         └─fork─► source template            base + the user's module
                                    └─fork─► child           waits idle for the work of one rank

Every one of them is a child of the launcher: a template forks through a process in between that exits at
once, and the launcher, being subreaper, adopts what is left. So the end of a template touches no attempt, and
the launcher sees each exit itself.

A template reads :class:`Fork` messages from its command socket; each carries one descriptor per process to
fork. It ends when the launcher closes the socket.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import socket
import sys
import threading
from collections.abc import Iterator

import msgspec

from argosy.crash_points import pass_crash_point
from argosy.runtime import child, linux, surroundings
from argosy.runtime.warmth import MOST_FORKS, Born, Context, Fork, Ready, TemplateKey

_MESSAGE = 1 << 16

# What is imported for a name that is not simply the module's own.
_MODULES = {
    "": ("argosy.runtime.worker", "argosy.flow"),
    "tensorflow": ("tensorflow", "keras"),
    "keras": ("tensorflow", "keras"),
    "onnxruntime": ("onnxruntime", "numpy", "PIL.Image"),
}


def run(commands: int, key: TemplateKey, context: Context) -> None:
    """Be a template until the launcher closes ``commands``. Does not return."""
    try:
        _become_template(context)
        channel = socket.socket(fileno=commands)
        channel.send(msgspec.json.encode(Born(os.getpid())))
        pass_crash_point("runtime.template_born")
        captured = os.memfd_create("argosy-import")
        unfit = _import(key, context, captured)
        _warm_up()
        gc.collect()
        gc.freeze()
        gc.disable()
        channel.send(msgspec.json.encode(Ready(os.getpid(), unfit)))
        _serve(channel, key, context, captured)
    except BrokenPipeError:
        pass  # the launcher is gone
    except BaseException as error:
        _say_why(error)
    finally:
        os._exit(1)


def _say_why(error: BaseException) -> None:
    with contextlib.suppress(Exception):
        sys.stderr.write(f"template: {type(error).__name__}: {error}\n")
        sys.stderr.flush()


def _warm_up() -> None:
    from argosy.runtime.rehearsal import rehearse_often

    rehearse_often()
    surroundings.find_libraries()


def _become_template(context: Context) -> None:
    os.setsid()
    linux.set_name("argosy-template")
    child.tie_to_launcher(context.launcher)
    child.prepare()


def _import(key: TemplateKey, context: Context, captured: int) -> str:
    """Import what the key names; why the process is unfit to be forked, or an empty text."""
    if not key.source:
        for name in ("", *key.preload):
            for module in _MODULES.get(name, (name,)):
                # What is not installed is the step's own error, with its own line, when it imports it.
                with contextlib.suppress(Exception):
                    importlib.import_module(module)
        _settle_threads()
        return ""
    threads = _native_threads()
    with _output_to(captured):
        child.find_source(context.home, key.source)
        try:
            importlib.import_module(key.module)
        except BaseException as error:
            return f"importing {key.module} raised {type(error).__name__}"
    _settle_threads()
    if threading.active_count() > 1 or _native_threads() > threads:
        return f"importing {key.module} started threads"
    return ""


@contextlib.contextmanager
def _output_to(captured: int) -> Iterator[None]:
    """What the import prints goes into every child's log, not into the launcher's."""
    kept = os.dup(1), os.dup(2)
    try:
        os.dup2(captured, 1)
        os.dup2(captured, 2)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        for target, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, target)
            os.close(descriptor)


def _settle_threads() -> None:
    # A fork makes libraries that are ready for it (OpenBLAS) end their threads; those left are a danger.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _serve(channel: socket.socket, key: TemplateKey, context: Context, captured: int) -> None:
    decode = msgspec.json.Decoder(Fork).decode
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE, MOST_FORKS)
        if not message:
            os._exit(0)
        order = decode(message)
        between = os.fork()
        if between == 0:
            _fork_each(order, descriptors, channel, key, context, captured)
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(between, 0)


def _fork_each(
    order: Fork,
    descriptors: list[int],
    channel: socket.socket,
    key: TemplateKey,
    context: Context,
    captured: int,
) -> None:
    """In the process in between. A fork that fails closes its descriptor: the launcher sees that."""
    try:
        for descriptor in descriptors:
            if os.fork() == 0:
                for other in (*descriptors, channel.fileno()):
                    if other != descriptor:
                        os.close(other)
                if order.template is not None:
                    os.close(captured)
                    gc.enable()
                    run(descriptor, order.template, context)
                child.run(descriptor, context.home, context.launcher, captured)
    except BaseException as error:
        _say_why(error)
    finally:
        os._exit(0)
