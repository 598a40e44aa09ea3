"""The control plane's side of the launcher: orders go out, events come in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from argosy.errors import ArgosyError, Unavailable
from argosy.home import Home
from argosy.runtime import addresses, frames, starting
from argosy.runtime.connection import Connection, process_end
from argosy.runtime.protocol import (
    AttemptId,
    AttemptSpec,
    Cause,
    Ended,
    Outcome,
    RuntimeEvent,
    Started,
)

Key = tuple[AttemptId, int]

_LOG = logging.getLogger(__name__)
_CONNECT_SECONDS = 30.0
_RETRY_SECONDS = 0.01
_LONGEST_RETRY_SECONDS = 5.0
_LOST = "the process that held it was killed"


class Runtime:
    """Starts, stops and hears of attempts. Everything is called in one asyncio loop.

    ``on_event`` is called in that loop, from its first turn after :meth:`start` has returned, never inside
    another method. After each connection a :class:`Started` and the newest ``listening`` report of all that
    lives come again, and every :class:`Ended` that was not acknowledged. When the launcher itself is killed,
    every attempt it had ends as LOST and another launcher is started.
    """

    def __init__(self, home: Home, on_event: Callable[[RuntimeEvent], None]) -> None:
        self._home = home
        self._on_event = on_event
        self._connection: Connection | None = None
        self._outgoing: list[bytes] = []
        self._queued: set[Key] = set()
        self._held: set[Key] = set()
        self._processes: dict[Key, tuple[tuple[int, int], ...]] = {}
        self._early: list[RuntimeEvent] | None = []
        self._flush_due: asyncio.Handle | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._leaving = False
        self._kept_warm: frozenset[tuple[str, ...]] | None = None

    async def start(self) -> frozenset[Key]:
        """Connect to the living launcher, or start one; the (attempt, token) pairs that it has.

        Those are the ones that live and those whose end is about to be told: neither is lost.
        Raises Unavailable when no launcher can be started.
        """
        self._leaving = False
        inventory = await self._connect()
        # The caller learns what there is before it hears what became of it.
        asyncio.get_running_loop().call_soon(self._open)
        return frozenset(_living(inventory) | set(inventory.ended))

    def launch(self, spec: AttemptSpec) -> None:
        """Start an attempt; does nothing for an (attempt, token) that lives or has ended unacknowledged."""
        key = (spec.attempt, spec.token)
        if key in self._held or key in self._queued:
            return
        self._queued.add(key)
        self._send(frames.Launch(frames.raw(spec)))

    def stop(self, attempt: AttemptId, cause: Cause, message: str = "") -> None:
        """End an attempt: SIGTERM, its grace, SIGKILL. Ended carries ``cause``. Unknown ones are ignored."""
        self._send(frames.Stop(attempt, cause, message))

    def acknowledge(self, attempt: AttemptId, token: int) -> None:
        """The end of this attempt is recorded: do not tell of it again."""
        self._send(frames.Acknowledge(attempt, token))

    def warm(self, preload: tuple[str, ...]) -> None:
        """Import these libraries into a warm process now, before a step needs them."""
        self._send(frames.Warm(preload))

    def keep_warm(self, preloads: frozenset[tuple[str, ...]]) -> None:
        """From now on keep idle processes with these libraries, used or not, and no others. Survives another
        launcher."""
        if preloads != self._kept_warm:
            self._kept_warm = preloads
            self._send(frames.Warm((), tuple(sorted(preloads))))

    async def detach(self) -> None:
        """Leave; the launcher and its attempts go on."""
        await self._leave()
        if self._connection is not None:
            self._flush()
            await self._connection.close()
            self._connection = None

    async def shut_down(self) -> None:
        """End every attempt and the launcher; no process, socket or scratch folder is left then."""
        await self._leave()
        connection, self._connection = self._connection, None
        if connection is None or connection.lost.is_set():
            connection = await self._connect_to_living()
        if connection is None:
            return
        pid = connection.launcher
        self._outgoing.append(frames.frame(frames.ShutDown()))
        connection.write(b"".join(self._outgoing))
        self._outgoing.clear()
        await connection.lost.wait()
        await process_end(pid)
        starting.collect()

    async def _leave(self) -> None:
        self._leaving = True
        if self._recovery is not None:
            self._recovery.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._recovery
            self._recovery = None

    # Out

    def _send(self, order: frames.Order) -> None:
        self._outgoing.append(frames.frame(order))
        if self._flush_due is None and self._connection is not None:
            self._flush_due = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        if self._connection is not None and self._outgoing:
            self._connection.write(b"".join(self._outgoing))
            self._outgoing.clear()
            self._held |= self._queued
            self._queued.clear()

    # In

    def _heard(self, answer: frames.Answer) -> None:
        if isinstance(answer, frames.Replaced):
            _LOG.error("another control plane took the launcher of %s over", self._home.root)
            self._leaving = True
            return
        if isinstance(answer, frames.Inventory):
            for started in answer.started:
                self._note(started)
                self._tell(started)
            return
        self._note(answer)
        self._tell(answer)

    def _note(self, event: RuntimeEvent) -> None:
        if isinstance(event, Started):
            self._processes[event.attempt, event.token] = event.processes
        elif isinstance(event, Ended):
            self._held.discard((event.attempt, event.token))
            self._processes.pop((event.attempt, event.token), None)

    def _open(self) -> None:
        """Deliver what has come so far, and from here on everything as it comes."""
        early, self._early = self._early or [], None
        for event in early:
            self._tell(event)

    def _tell(self, event: RuntimeEvent) -> None:
        if self._early is not None:
            self._early.append(event)
            return
        try:
            self._on_event(event)
        except Exception:
            _LOG.exception("%s of %s was not handled", type(event).__name__, event.attempt)

    # Connection

    async def _connect(self) -> frames.Inventory:
        """Find or start the launcher. What was held and is not there any more is lost."""
        deadline = time.monotonic() + _CONNECT_SECONDS
        while True:
            starting.collect()
            known = [process for processes in self._processes.values() for process in processes]
            if starting.start_if_none(self._home, known):
                self._lose(self._held.copy())
            connected = await self._try_to_connect()
            if connected is not None:
                self._connection, inventory = connected
                living = _living(inventory)
                self._lose(self._held - living - set(inventory.ended))
                self._held |= living
                if self._kept_warm is not None:
                    kept = frames.Warm((), tuple(sorted(self._kept_warm)))
                    self._outgoing.append(frames.frame(kept))
                self._flush()
                return inventory
            if time.monotonic() > deadline:
                raise self._no_answer()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _try_to_connect(self) -> tuple[Connection, frames.Inventory] | None:
        try:
            socket = addresses.connect(self._home)
        except OSError:
            return None
        socket.setblocking(False)
        connection = Connection(self._heard, self._lost)
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=socket)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                inventory = await connection.inventory
        except (TimeoutError, ConnectionError):
            await connection.close()
            return None
        return connection, inventory

    async def _connect_to_living(self) -> Connection | None:
        """The launcher that lives, whoever started it; None if none does."""
        while not starting.none_lives(self._home):
            connected = await self._try_to_connect()
            if connected is not None:
                return connected[0]
            await asyncio.sleep(_RETRY_SECONDS)
        return None

    def _no_answer(self) -> Unavailable:
        record = addresses.read_record(self._home)
        return Unavailable(
            f"the launcher of {self._home.root} does not answer",
            hint=f"end process {record.pid} and try again" if record else "try again",
        )

    def _lost(self, connection: Connection) -> None:
        if connection is not self._connection or self._leaving:
            return
        self._connection = None
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """The launcher hung up: find it again, or start another and give up what the old one had."""
        delay = 0.05
        while True:
            try:
                await self._connect()
            except ArgosyError as error:
                _LOG.error("%s", error.message)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_RETRY_SECONDS)
            else:
                return

    def _lose(self, keys: set[Key]) -> None:
        self._held -= keys
        for attempt, token in sorted(keys):
            self._processes.pop((attempt, token), None)
            self._tell(Ended(attempt, token, Outcome(Cause.LOST, _LOST), time.time()))


def _living(inventory: frames.Inventory) -> set[Key]:
    started = {(each.attempt, each.token) for each in inventory.started}
    return started | set(inventory.waiting)
