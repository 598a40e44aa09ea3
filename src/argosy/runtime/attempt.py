"""One attempt in the launcher: carries out what its gang decides, with real processes and real time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from argosy.runtime import gang as gangs
from argosy.runtime.frames import NOTHING, Finished, RawEnded, RawGo, RawReported, Said, frame
from argosy.runtime.gang import Command, Event, Gang
from argosy.runtime.loop import Loop, Timer
from argosy.runtime.meter import Meter
from argosy.runtime.outbox import Key, Outbox
from argosy.runtime.pool import Pool
from argosy.runtime.ports import Reservation
from argosy.runtime.process import Exit, Process
from argosy.runtime.protocol import AttemptSpec, Cause, Outcome, Program, Sampled, Started, StepCall
from argosy.runtime.warmth import key_for
from argosy.units import format_duration, format_memory

# A process killed by someone else this near its limit was killed for it.
_NEAR = 0.95
_TELEMETRY = frozenset({"metrics", "progress"})


class Host(Protocol):
    """The launcher, as an attempt needs it."""

    loop: Loop
    pool: Pool
    outbox: Outbox

    def take_strays(self, attempt: Attempt) -> None:
        """Kill the processes that a rank left behind, and tell the attempt when they are gone."""

    def out_of_memory_kills(self) -> int:
        """How many processes the kernel has killed for want of memory since this was last asked."""

    def remove_folder(self, path: str) -> None: ...

    def conclude(self, attempt: Attempt) -> None:
        """The attempt has ended."""


class Seat:
    """One rank: waits for a process, gives it work, hears of it until it has exited."""

    def __init__(self, attempt: Attempt, rank: int) -> None:
        self.attempt = attempt
        self.rank = rank
        self.process: Process | None = None
        self.meter: Meter | None = None
        self.address: bytes = b""

    def take(self, process: Process) -> None:
        process.user = self
        self.process = process
        self.attempt.handle(gangs.RankReady(self.rank))

    def fail(self, reason: str) -> None:
        self.attempt.handle(gangs.RankUnavailable(self.rank, reason))

    def heard(self, message: Said | Finished) -> None:
        if isinstance(message, Finished):
            output = None if message.output == NOTHING else message.output
            self.attempt.handle(gangs.RankReported(self.rank, message.outcome, output))
        else:
            self.attempt.reported(self, message)

    def exited(self, exit: Exit) -> None:
        self.attempt.exited(self, exit)


class Attempt:
    def __init__(self, host: Host, spec: AttemptSpec, raw: msgspec.Raw) -> None:
        self.spec = spec
        self.key: Key = (spec.attempt, spec.token)
        self.started: Started | None = None
        self.strays: set[int] = set()
        self._host = host
        self._raw = raw
        self._template = key_for(spec.call, spec.preload)
        self._seats = [Seat(self, rank) for rank in range(max(1, spec.workers))]
        self._timers: list[Timer] = []
        self._ports: Reservation | None = None
        self._peak = 0
        self._finish: gangs.Finish | None = None
        self._concluded = False
        needs_result = isinstance(spec.call, StepCall)
        self._gang, self._first = gangs.gather(
            len(self._seats), needs_result=needs_result, grace_seconds=spec.grace_seconds
        )

    def begin(self) -> None:
        """Seek the processes."""
        try:
            if self.spec.workers > 1:
                self._ports = Reservation(self.spec.workers + 1)
        except OSError as error:
            self.handle(gangs.RankUnavailable(0, f"no port can be had: {error.strerror}"))
            return
        self._carry_out(self._first)

    @property
    def gang(self) -> Gang:
        return self._gang

    def running_seats(self) -> list[Seat]:
        return [self._seats[rank] for rank in self._gang.living()]

    def addresses(self) -> list[bytes]:
        """The latest ``listening`` report of each rank that lives."""
        return [seat.address for seat in self.running_seats() if seat.address]

    # Events

    def handle(self, event: Event) -> None:
        self._gang, commands = gangs.decide(self._gang, event)
        self._carry_out(commands)

    def stop(self, cause: Cause, message: str) -> None:
        self.handle(gangs.StopRequested(cause, message))

    def exited(self, seat: Seat, exit: Exit) -> None:
        process, meter = seat.process, seat.meter
        seat.process = None
        if meter is None or process is None:
            self.handle(gangs.RankExited(seat.rank, exit.code, exit.signal))
            return
        grown = exit.peak - (process.hello.resident if meter.inherits else 0)
        self._peak = max(self._peak, meter.peak, grown)
        self._host.take_strays(self)
        reason = self._judge(exit) if exit.signal == signal.SIGKILL else ""
        self.handle(gangs.RankExited(seat.rank, exit.code, exit.signal, reason))

    def _judge(self, exit: Exit) -> str:
        """Why a SIGKILL that is not ours is taken for a lack of memory, or an empty text."""
        if self._gang.phase is not gangs.Phase.RUNNING:
            return ""
        limit = self.spec.memory
        if limit is not None and self._peak >= _NEAR * limit:
            return f"killed while it held {format_memory(self._peak)} of its limit {format_memory(limit)}"
        if self._host.out_of_memory_kills():
            return f"killed by the kernel, which ran out of memory; it held {format_memory(self._peak)}"
        return ""

    def reported(self, seat: Seat, said: Said) -> None:
        data = frame(RawReported(*self.key, seat.rank, said.kind, said.body, said.time))
        if said.kind in _TELEMETRY:
            self._host.outbox.telemetry(data)
            return
        if said.kind == "listening":
            seat.address = data
        self._host.outbox.event(data)

    def stray_gone(self, pid: int) -> None:
        self.strays.discard(pid)
        self._host.take_strays(self)
        self._conclude()

    # Limits and samples

    def check(self) -> float:
        """Look at memory and output; how many bytes of memory are left to the tightest rank."""
        headroom = float("inf")
        limit = self.spec.memory
        for seat in self.running_seats():
            if limit is not None and seat.meter is not None:
                used = seat.meter.memory()
                headroom = min(headroom, limit - used)
                if used > limit:
                    message = f"held {format_memory(used)}, over its limit {format_memory(limit)}"
                    self.handle(gangs.LimitExceeded(seat.rank, Cause.OUT_OF_MEMORY, message))
                    return headroom
            if self._written(seat) > self.spec.output_limit:
                self._over_output(seat)
                return headroom
        return headroom

    def _log(self, seat: Seat) -> str:
        return self.spec.log.replace("{rank}", str(seat.rank))

    def _written(self, seat: Seat) -> int:
        try:
            return os.stat(self._log(seat)).st_size
        except OSError:
            return 0

    def _cut_logs(self) -> None:
        """What was written between two looks is over the limit too."""
        for seat in self._seats:
            if self._written(seat) > self.spec.output_limit:
                with contextlib.suppress(OSError):
                    os.truncate(self._log(seat), self.spec.output_limit)

    def _over_output(self, seat: Seat) -> None:
        limit = format_memory(self.spec.output_limit)
        message = f"wrote more than {limit} to its log"
        self.handle(gangs.LimitExceeded(seat.rank, Cause.OUTPUT_LIMIT, message))

    def sample(self) -> None:
        now = time.time()
        for seat in self.running_seats():
            if seat.meter is not None:
                cores, used = seat.meter.sample()
                data = frame(Sampled(*self.key, seat.rank, round(cores, 3), used, now))
                self._host.outbox.telemetry(data)

    # Commands

    def _carry_out(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            match command:
                case gangs.Seek(rank):
                    # An earlier one may have failed at once, and the attempt with it.
                    if self._gang.phase is gangs.Phase.GATHERING:
                        self._host.pool.seek(self._template, self._seats[rank])
                case gangs.Release():
                    self._release()
                case gangs.Dismiss():
                    self._dismiss()
                case gangs.Terminate(ranks, grace_seconds):
                    self._signal(ranks, signal.SIGTERM)
                    self._later(grace_seconds, lambda: self.handle(gangs.GraceElapsed()))
                case gangs.Kill(ranks):
                    self._signal(ranks, signal.SIGKILL)
                case gangs.Finish():
                    self._finish = command
                    self._conclude()

    def _release(self) -> None:
        addresses = self._ports.addresses if self._ports else ()
        peers, master = addresses[:-1], addresses[-1] if addresses else ""
        processes = [seat.process for seat in self._seats if seat.process is not None]
        for seat, process in zip(self._seats, processes, strict=True):
            process.stream.send(frame(RawGo(seat.rank, self._raw, peers, master)))
        replaced = isinstance(self.spec.call, Program)
        for seat, process in zip(self._seats, processes, strict=True):
            seat.meter = Meter(process.pid, 0 if replaced else process.inherited)
        identities = tuple(process.identity for process in processes)
        self.started = Started(*self.key, identities, time.time())
        self._host.outbox.started(frame(self.started))
        limit = self.spec.timeout_seconds
        if limit is not None:
            message = f"ran longer than its timeout of {format_duration(limit)}"
            self._later(limit, lambda: self.stop(Cause.TIMEOUT, message))

    def _dismiss(self) -> None:
        for seat in self._seats:
            self._host.pool.withdraw(seat)
            if seat.process is not None:
                self._host.pool.give_back(self._template, seat.process)
                seat.process = None

    def _signal(self, ranks: tuple[int, ...], number: signal.Signals) -> None:
        for rank in ranks:
            process = self._seats[rank].process
            if process is not None:
                process.signal_all(number)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(self._host.loop.call_later(seconds, action))

    def _conclude(self) -> None:
        """Once every rank and every stray is gone: tidy up and say so."""
        if self._finish is None or self.strays or self._concluded:
            return
        self._concluded = True
        for timer in self._timers:
            timer.cancel()
        if self._ports:
            self._ports.release()
        if self._finish.outcome.cause is Cause.OUTPUT_LIMIT:
            self._cut_logs()
        self._host.remove_folder(self.spec.directory)
        outcome: Outcome = msgspec.structs.replace(self._finish.outcome, peak_memory=max(0, self._peak))
        ended = RawEnded(*self.key, outcome, time.time(), self._finish.output)
        self._host.outbox.ended(self.key, frame(ended))
        self._host.conclude(self)
