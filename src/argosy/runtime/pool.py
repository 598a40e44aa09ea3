"""The warm pool: templates, the idle children they have forked, and who waits for one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from argosy.runtime.loop import READ, Loop
from argosy.runtime.process import Process
from argosy.runtime.warmth import MOST_FORKS, Born, Fork, Ready, TemplateKey

# Children are forked two and more at a time: it takes one process in between for all of them.
_BATCH = max(1, os.cpu_count() or 1)
_IDLE = 2 * _BATCH
_IDLE_SECONDS = 60.0
_BASE_SECONDS = 600.0
_IMPORT_SECONDS = 60.0
_MOST_TEMPLATES = 8
_MOST_FAILURES = 8
_MOST_DEATHS = 3
_NO_FORK = "no process can be forked: the machine is out of processes or memory"
_decode = msgspec.json.Decoder(Born | Ready).decode
_encode = msgspec.json.encode


class Seat(Protocol):
    """Who waits for a process."""

    def take(self, process: Process) -> None: ...
    def fail(self, reason: str) -> None: ...


@dataclass(slots=True, eq=False)
class Template:
    """``channel`` is its command socket; ``orders`` are forks it has not been asked for yet."""

    key: TemplateKey
    channel: socket.socket
    pid: int = 0
    ready: bool = False
    gone: bool = False
    wanted: bool = False
    failures: int = 0
    orders: deque[tuple[Fork, list[socket.socket]]] = field(default_factory=deque)
    unborn: set[Process] = field(default_factory=set)
    idle: deque[Process] = field(default_factory=deque)
    waiting: deque[Seat] = field(default_factory=deque)
    used_at: float = field(default_factory=time.monotonic)
    born_at: float | None = None

    @property
    def busy(self) -> bool:
        return bool(self.orders or self.unborn or self.waiting)

    def missing(self) -> int:
        """How many more children it should fork."""
        return len(self.waiting) + (_IDLE if self.wanted else 0) - len(self.idle) - len(self.unborn)


class Pool:
    """``fork_base(commands, key)`` forks the launcher into a base template and gives its pid.

    ``on_process`` is told of each process that has said hello.
    """

    def __init__(
        self,
        loop: Loop,
        fork_base: Callable[[socket.socket, TemplateKey], int],
        on_process: Callable[[Process], None],
    ) -> None:
        self._loop = loop
        self._fork_base = fork_base
        self._on_process = on_process
        self._templates: dict[TemplateKey, Template] = {}
        self._unfit: dict[TemplateKey, str] = {}
        self._deaths: dict[TemplateKey, int] = {}
        self._kept: frozenset[TemplateKey] = frozenset()
        self._closed = False

    @property
    def sessions(self) -> set[int]:
        """Session ids of the templates: what belongs to one of these is no attempt's."""
        return {owner.pid for owner in self._templates.values()}

    def warm(self, key: TemplateKey) -> None:
        """Have this template at hand soon."""
        if not self._closed:
            with contextlib.suppress(OSError):
                self._template(key)

    def keep(self, keys: Iterable[TemplateKey]) -> None:
        """Have these at hand with idle children from now on, used or not; others go as ever."""
        self._kept = frozenset(keys)
        self.tend()

    def seek(self, key: TemplateKey, seat: Seat) -> None:
        """Have ``seat`` take an idle process, or fail: now or later."""
        if self._closed:
            seat.fail("the launcher is shutting down")
            return
        try:
            owner = self._template(key.base if key in self._unfit else key)
        except OSError as error:
            seat.fail(_no_process(error))
            return
        owner.wanted = True
        owner.waiting.append(seat)
        self._serve(owner)

    def withdraw(self, seat: Seat) -> None:
        """It waits no longer."""
        for owner in self._templates.values():
            with contextlib.suppress(ValueError):
                owner.waiting.remove(seat)

    def give_back(self, key: TemplateKey, process: Process) -> None:
        """A process that was taken and not used."""
        process.user = None
        owner = self._templates.get(key.base if key in self._unfit else key)
        if owner is None or process.stream.closed:
            self._discard(process)
            return
        owner.idle.append(process)
        self._serve(owner)

    def refill(self) -> None:
        """Ask templates for the children that are missing. Called when nothing more urgent is left to do."""
        for owner in list(self._templates.values()):
            if owner.ready:
                missing = owner.missing()
                if missing >= _BATCH or (missing > 0 and owner.waiting):
                    self._ask_for_children(owner, min(missing, MOST_FORKS))
                self._pump(owner)

    def tend(self) -> None:
        """Let go of what nobody has used for long, and of templates whose import does not end."""
        for key in self._kept:
            self.warm(key)
        for key in self._kept & self._templates.keys():
            self._templates[key].wanted = True
        now = time.monotonic()
        for owner in list(self._templates.values()):
            unused = now - owner.used_at
            imports = owner.key.source and owner.born_at and not owner.ready
            if imports and owner.born_at and now - owner.born_at > _IMPORT_SECONDS:
                self._lose(owner, "its import does not come to an end")
            elif unused > _IDLE_SECONDS and not owner.busy:
                owner.wanted = False
                self._drop_idle(owner)
                if owner.key.source or (owner.key.preload and unused > _BASE_SECONDS):
                    self._drop(owner)

    def listen(self) -> None:
        """Take in what templates have said by now."""
        for owner in list(self._templates.values()):
            self._heard(owner)

    def close(self) -> None:
        """End every template and idle child."""
        self._closed = True
        for owner in list(self._templates.values()):
            self._drop(owner)

    # Templates

    def _template(self, key: TemplateKey) -> Template:
        found = self._templates.get(key) or self._make(key)
        found.used_at = time.monotonic()
        return found

    def _make(self, key: TemplateKey) -> Template:
        self._make_room()
        base = self._template(key.base) if key.source else None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        made = Template(key, ours)
        self._templates[key] = made
        self._loop.watch(ours.fileno(), READ, lambda _: self._heard(made))
        if base is not None:
            base.orders.append((Fork(key), [theirs]))
            self._pump(base)
            return made
        try:
            made.pid = self._fork_base(theirs, key)
        except OSError:
            self._drop(made)
            raise
        finally:
            theirs.close()
        return made

    def _make_room(self) -> None:
        """Drop the sources used longest ago, so that no more than a few stay."""
        sources = [owner for owner in self._templates.values() if owner.key.source and not owner.busy]
        sources.sort(key=lambda owner: owner.used_at, reverse=True)
        for owner in sources[_MOST_TEMPLATES - 1 :]:
            self._drop(owner)

    def _heard(self, owner: Template) -> None:
        while not owner.gone:
            try:
                data = owner.channel.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lose(owner, "" if owner.ready else "it ended while importing")
                return
            message = _decode(data)
            owner.pid = message.pid
            if isinstance(message, Born):
                owner.born_at = time.monotonic()
                continue
            if message.unfit:
                self._lose(owner, message.unfit)
                return
            owner.ready = True
            self._deaths.pop(owner.key, None)
            self._pump(owner)
            self.refill()

    def _lose(self, owner: Template, unfit: str) -> None:
        """A template ended or must not be forked from: whoever waits is served in another way."""
        waiting = list(owner.waiting)
        owner.waiting.clear()
        self._drop(owner)
        key = owner.key
        base_lives = key.base in self._templates
        if unfit and key.source and base_lives:
            # Its children import the module themselves, and the step gets the error.
            self._unfit[key] = unfit
        elif unfit:
            self._deaths[key] = self._deaths.get(key, 0) + 1
            if self._deaths[key] >= _MOST_DEATHS:
                del self._deaths[key]
                for seat in waiting:
                    seat.fail(f"the warm process for {'+'.join(key.preload) or 'steps'} died: {unfit}")
                return
        for seat in waiting:
            self.seek(key, seat)

    def _drop(self, owner: Template) -> None:
        if owner.gone:
            return
        owner.gone = True
        if self._templates.get(owner.key) is owner:
            del self._templates[owner.key]
        self._loop.unwatch(owner.channel.fileno())
        owner.channel.close()
        if owner.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(owner.pid, signal.SIGKILL)
        for _, descriptors in owner.orders:
            for descriptor in descriptors:
                descriptor.close()
        owner.orders.clear()
        self._drop_idle(owner)
        for seat in owner.waiting:
            seat.fail("the launcher is shutting down")

    def _drop_idle(self, owner: Template) -> None:
        while owner.idle:
            self._discard(owner.idle.popleft())

    def _discard(self, process: Process) -> None:
        process.stream.close()
        if process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    # Children

    def _ask_for_children(self, owner: Template, count: int) -> None:
        pairs: list[tuple[socket.socket, socket.socket]] = []
        try:
            pairs.extend(socket.socketpair() for _ in range(count))
        except OSError as error:
            if not pairs:
                self._fail_waiting(owner, _no_process(error))
                return
        for ours, _ in pairs:
            owner.unborn.add(
                Process(
                    self._loop,
                    ours,
                    lambda process: self._born(owner, process),
                    lambda process: self._closed_while_idle(owner, process),
                )
            )
        owner.orders.append((Fork(), [theirs for _, theirs in pairs]))

    def _pump(self, owner: Template) -> None:
        """Hand over the orders that the template can take now."""
        while owner.ready and owner.orders:
            order, descriptors = owner.orders[0]
            try:
                socket.send_fds(owner.channel, [_encode(order)], [each.fileno() for each in descriptors])
            except OSError:
                return  # full: later; gone: reading will say so
            owner.orders.popleft()
            for descriptor in descriptors:
                descriptor.close()

    def _born(self, owner: Template, process: Process) -> None:
        owner.unborn.discard(process)
        owner.failures = 0
        self._on_process(process)
        if owner.gone and not owner.waiting:
            self._discard(process)
            return
        owner.idle.append(process)
        self._serve(owner)

    def _closed_while_idle(self, owner: Template, process: Process) -> None:
        with contextlib.suppress(ValueError):
            owner.idle.remove(process)
        if process in owner.unborn:
            owner.unborn.discard(process)
            owner.failures += 1
            if owner.failures >= _MOST_FAILURES:
                owner.failures = 0
                owner.wanted = False
                self._fail_waiting(owner, _NO_FORK)

    def _fail_waiting(self, owner: Template, reason: str) -> None:
        waiting = list(owner.waiting)
        owner.waiting.clear()
        for seat in waiting:
            seat.fail(reason)

    def _serve(self, owner: Template) -> None:
        while owner.waiting and owner.idle:
            owner.waiting.popleft().take(owner.idle.popleft())


def _no_process(error: OSError) -> str:
    return f"no process can be made: {error.strerror or error}"
