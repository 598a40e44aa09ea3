"""The launcher: a small process that outlives the control plane, and the parent of all that Argosy starts.

``python -m argosy.runtime.launcher HOME [--lock-fd N --listen-fd M]``
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from argosy.home import Home
from argosy.runtime import addresses, frames, linux
from argosy.runtime.attempt import Attempt
from argosy.runtime.broom import Broom
from argosy.runtime.loop import READ, Loop, Stream, Timer, wakeup_pair
from argosy.runtime.outbox import Key, Outbox
from argosy.runtime.pool import Pool
from argosy.runtime.process import Exit, Process
from argosy.runtime.protocol import Cause, Outcome
from argosy.runtime.warmth import Context, TemplateKey, normal_preload

_CHECK_SECONDS = 0.1
_SHORTEST_CHECK_SECONDS = 0.01
# How fast a process may allocate: the limit is looked at again before it can be passed by much.
_BYTES_PER_SECOND = 4e9
_SAMPLE_SECONDS = 1.0
_TEND_SECONDS = 5.0
_ALONE_SECONDS = 60.0
# Ends that nobody has acknowledged are worth staying for, though not for ever.
_UNTOLD_SECONDS = 86_400.0
_LAST_WORDS_SECONDS = 1.0


class Launcher:
    def __init__(self, home: Home, listener: socket.socket) -> None:
        self.loop = Loop()
        self.outbox = Outbox(self.loop)
        self.pool = Pool(self.loop, self._fork_base, self._know)
        self._home = home
        self._listener = listener
        self._context = Context(str(home.root), os.getpid())
        self._broom = Broom(home)
        self._attempts: dict[Key, Attempt] = {}
        self._processes: dict[int, Process] = {}
        self._strays: dict[int, Attempt] = {}
        self._early: set[int] = set()
        self._oom_kills = linux.out_of_memory_kills()
        self._check: Timer | None = None
        self._alone_since = time.monotonic()
        self._closing = False
        self._session = os.getsid(0)

    # Running

    def run(self) -> None:
        """Serve until told to shut down, or until nobody needs it."""
        read, write = wakeup_pair()
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.loop.watch_first(read, lambda _: self._signalled(read))
        self.loop.watch(self._listener.fileno(), READ, self._accept)
        self.loop.call_later(_TEND_SECONDS, self._tend)
        self._broom.sweep_leftovers()
        self.pool.warm(TemplateKey())
        gc.collect()
        gc.freeze()
        while not self._done():
            self.loop.run_once()
            self.pool.refill()
        self._leave()

    def _done(self) -> bool:
        return self._closing and not self._attempts and not self._strays

    def _leave(self) -> None:
        self.outbox.say_last_words(_LAST_WORDS_SECONDS)
        while linux.children(os.getpid()):
            for pid in linux.children(os.getpid()):
                if not self._broom.owns(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.wait()

    def _tend(self) -> None:
        self.loop.call_later(_TEND_SECONDS, self._tend)
        self.pool.tend()
        if self.outbox.connected or self._attempts:
            self._alone_since = time.monotonic()
            return
        patience = _UNTOLD_SECONDS if self.outbox.ended_keys() else _ALONE_SECONDS
        if time.monotonic() - self._alone_since > patience:
            self._shut_down()

    def _shut_down(self) -> None:
        if not self._closing:
            self._closing = True
            self.pool.close()
            for attempt in list(self._attempts.values()):
                attempt.stop(Cause.CANCELLED, "Argosy was shut down")

    # The control plane

    def _accept(self, _: int) -> None:
        try:
            connected, _address = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # Out of descriptors: the connection waits; looking at it without a pause would take a core.
            self.loop.unwatch(self._listener.fileno())
            self.loop.call_later(1.0, lambda: self.loop.watch(self._listener.fileno(), READ, self._accept))
            return
        self.outbox.hear_out()
        stream: Stream = Stream(self.loop, connected, self._order, lambda: self._lost_control(stream))
        self.outbox.connect(stream, self._inventory(), self._addresses())

    def _lost_control(self, stream: Stream) -> None:
        if self.outbox.disconnect(stream):
            self._alone_since = time.monotonic()

    def _inventory(self) -> frames.Inventory:
        attempts = self._attempts.values()
        return frames.Inventory(
            os.getpid(),
            tuple(attempt.started for attempt in attempts if attempt.started is not None),
            tuple(attempt.key for attempt in attempts if attempt.started is None),
            self.outbox.ended_keys(),
        )

    def _addresses(self) -> list[bytes]:
        return [address for attempt in self._attempts.values() for address in attempt.addresses()]

    def _order(self, body: bytes) -> None:
        match frames.decode_order(body):
            case frames.Launch(spec):
                self._launch(spec)
            case frames.Stop(name, cause, message):
                for attempt in [a for a in self._attempts.values() if a.spec.attempt == name]:
                    attempt.stop(cause, message)
            case frames.Acknowledge(name, token):
                self.outbox.acknowledge((name, token))
            case frames.Warm(preload, kept):
                self.pool.warm(TemplateKey(normal_preload(preload)))
                if kept is not None:
                    self.pool.keep({TemplateKey(normal_preload(one)) for one in kept})
            case frames.ShutDown():
                self._shut_down()

    def _launch(self, raw: msgspec.Raw) -> None:
        try:
            spec = frames.decode_spec(raw)
        except msgspec.MsgspecError as error:
            self._refuse(raw, error)
            return
        key = (spec.attempt, spec.token)
        if key in self._attempts or key in self.outbox.ended_keys():
            return
        attempt = self._attempts[key] = Attempt(self, spec, raw)
        attempt.begin()
        if self._closing:
            attempt.stop(Cause.CANCELLED, "Argosy was shut down")
        if self._check is None:
            self._check = self.loop.call_later(_CHECK_SECONDS, self._check_limits)
            self._sample_due = time.monotonic() + _SAMPLE_SECONDS

    def _refuse(self, raw: msgspec.Raw, error: msgspec.MsgspecError) -> None:
        """Another version of Argosy may ask for what this one does not know."""
        name = frames.decode_name(raw)
        outcome = Outcome(Cause.ERROR, f"the launcher can not read what to start: {error}")
        ended = frames.RawEnded(name.attempt, name.token, outcome, time.time())
        self.outbox.ended((name.attempt, name.token), frames.frame(ended))

    def conclude(self, attempt: Attempt) -> None:
        self._attempts.pop(attempt.key, None)

    # Limits and samples

    def _check_limits(self) -> None:
        self._check = None
        if not self._attempts:
            return
        headroom = min(attempt.check() for attempt in list(self._attempts.values()))
        now = time.monotonic()
        if now >= self._sample_due:
            self._sample_due = max(self._sample_due + _SAMPLE_SECONDS, now)
            for attempt in list(self._attempts.values()):
                attempt.sample()
        seconds = min(_CHECK_SECONDS, max(_SHORTEST_CHECK_SECONDS, headroom / _BYTES_PER_SECOND))
        self._check = self.loop.call_later(seconds, self._check_limits)

    def out_of_memory_kills(self) -> int:
        before, self._oom_kills = self._oom_kills, linux.out_of_memory_kills()
        return self._oom_kills - before

    def remove_folder(self, path: str) -> None:
        self._broom.remove(path)

    # Processes

    def _fork_base(self, commands: socket.socket, key: TemplateKey) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            os.dup2(commands.fileno(), 3)
            os.closerange(4, 1 << 20)
            from argosy.runtime import template

            template.run(3, key, self._context)
        finally:
            os._exit(1)

    def _know(self, process: Process) -> None:
        if process.pid in self._early:
            self._early.discard(process.pid)
            process.stream.drain()
        self._processes[process.pid] = process

    def _signalled(self, read: int) -> None:
        if signal.SIGTERM in os.read(read, 4096):
            self._shut_down()
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._reaped(pid, Exit.of(status, usage.ru_maxrss))

    def _reaped(self, pid: int, exit: Exit) -> None:
        process = self._processes.pop(pid, None)
        if process is not None:
            # Its last words may have arrived with its end.
            process.stream.drain()
            process.stream.close()
            if process.user is not None:
                process.user.exited(exit)
        elif (attempt := self._strays.pop(pid, None)) is not None:
            attempt.stray_gone(pid)
        elif not self._broom.done(pid):
            self._early.add(pid)
            if len(self._early) > 1000:
                self._early.clear()

    def take_strays(self, attempt: Attempt) -> None:
        suspects = self._suspects()
        if suspects:
            self.pool.listen()  # one of them may be a template that has just said it lives
            suspects = self._suspects()
        for pid in suspects:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._strays[pid] = attempt
            attempt.strays.add(pid)

    def _suspects(self) -> list[int]:
        """Adopted processes that are neither a template's session nor known."""
        sessions = self.pool.sessions | {self._session}
        known = self._processes, self._strays
        return [
            pid
            for pid in linux.children(os.getpid())
            if not any(pid in each for each in known) and _session_of(pid) not in sessions
        ]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def main(arguments: list[str]) -> int:
    home = Home(Path(arguments[0]))
    given = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    with contextlib.suppress(PermissionError):
        os.setsid()
    linux.adopt_orphans()
    linux.set_name("argosy-launcher")
    if "--lock-fd" in given:
        lock = int(given["--lock-fd"])
        listener = socket.socket(fileno=int(given["--listen-fd"]))
    else:
        taken = addresses.take_lock(home)
        if taken is None:
            sys.stderr.write(f"a launcher serves {home.root} already\n")
            return 1
        lock, listener = taken, addresses.listen(home)
    for descriptor in (lock, listener.fileno()):
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    listener.setblocking(False)
    addresses.write_record(home)
    Launcher(home, listener).run()
    addresses.remove(home)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
