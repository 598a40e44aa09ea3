"""The life of one attempt, of one rank or many, as a pure step: started all or none, ended as one.

    gathering ──every rank has a process──► running ──every rank exited 0, rank 0 gave a result──► over
        │                                      │
        └────────────── stop ──────► over      └── a bad end, a stop, a limit ──► ending ──all exited──► over

The first thing that goes wrong is the verdict: what follows from ending the others never replaces it.
"""

from __future__ import annotations

import enum
import signal as signals
from dataclasses import dataclass, replace

import msgspec

from argosy.runtime.protocol import Cause, Outcome

# How long the others of a gang may take once one rank has ended badly.
PEER_GRACE_SECONDS = 0.5
# A process may be lost before it was given its work; another one is sought this often.
_SEEK_LIMIT = 4


class Phase(enum.Enum):
    GATHERING = "gathering"
    RUNNING = "running"
    ENDING = "ending"
    OVER = "over"


class Stage(enum.Enum):
    SOUGHT = "sought"
    READY = "ready"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Rank:
    stage: Stage = Stage.SOUGHT
    reported: bool = False
    seeks: int = 1


@dataclass(frozen=True, slots=True)
class Gang:
    """``needs_result``: every rank must return, and rank 0 hand over a result (a step; not a service)."""

    ranks: tuple[Rank, ...]
    needs_result: bool
    grace_seconds: float
    phase: Phase = Phase.GATHERING
    verdict: Outcome | None = None
    output: msgspec.Raw | None = None

    def living(self) -> tuple[int, ...]:
        return tuple(i for i, rank in enumerate(self.ranks) if rank.stage is Stage.RUNNING)


# Events


@dataclass(frozen=True, slots=True)
class RankReady:
    rank: int


@dataclass(frozen=True, slots=True)
class RankUnavailable:
    """No process can be had for this rank."""

    rank: int
    reason: str


@dataclass(frozen=True, slots=True)
class RankReported:
    rank: int
    outcome: Outcome
    output: msgspec.Raw | None = None


@dataclass(frozen=True, slots=True)
class RankExited:
    """``out_of_memory`` says why a SIGKILL is taken for the kernel's, or is empty."""

    rank: int
    exit_code: int | None = None
    signal: int | None = None
    out_of_memory: str = ""


@dataclass(frozen=True, slots=True)
class StopRequested:
    cause: Cause
    message: str = ""


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """Memory or output: ended at once, without a grace."""

    rank: int
    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class GraceElapsed:
    pass


Event = RankReady | RankUnavailable | RankReported | RankExited | StopRequested | LimitExceeded | GraceElapsed


# Commands


@dataclass(frozen=True, slots=True)
class Seek:
    """Find a process for this rank."""

    rank: int


@dataclass(frozen=True, slots=True)
class Release:
    """Give every rank its work."""


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Give back what was gathered: no rank has started."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask these ranks to end (SIGTERM), and come back with GraceElapsed."""

    ranks: tuple[int, ...]
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    outcome: Outcome
    output: msgspec.Raw | None = None


Command = Seek | Release | Dismiss | Terminate | Kill | Finish
Decision = tuple[Gang, tuple[Command, ...]]


def gather(workers: int, *, needs_result: bool, grace_seconds: float) -> Decision:
    """A gang that seeks its processes."""
    gang = Gang((Rank(),) * workers, needs_result, grace_seconds)
    return gang, tuple(Seek(rank) for rank in range(workers))


def decide(gang: Gang, event: Event) -> Decision:
    match gang.phase:
        case Phase.GATHERING:
            return _gathering(gang, event)
        case Phase.RUNNING:
            return _running(gang, event)
        case Phase.ENDING:
            return _ending(gang, event)
        case Phase.OVER:
            return gang, ()


def _gathering(gang: Gang, event: Event) -> Decision:
    match event:
        case RankReady(rank):
            gang = _with_rank(gang, rank, stage=Stage.READY)
            if any(other.stage is not Stage.READY for other in gang.ranks):
                return gang, ()
            running = tuple(replace(other, stage=Stage.RUNNING) for other in gang.ranks)
            return replace(gang, ranks=running, phase=Phase.RUNNING), (Release(),)
        case RankExited(rank):
            seeks = gang.ranks[rank].seeks
            if seeks >= _SEEK_LIMIT:
                reason = f"{seeks} processes died before they were given their work"
                return _never_started(gang, Outcome(Cause.ERROR, reason, rank=rank))
            return _with_rank(gang, rank, stage=Stage.SOUGHT, seeks=seeks + 1), (Seek(rank),)
        case RankUnavailable(rank, reason):
            return _never_started(gang, Outcome(Cause.ERROR, reason, rank=rank))
        case StopRequested(cause, message):
            return _never_started(gang, Outcome(cause, message))
        case _:
            return gang, ()


def _never_started(gang: Gang, outcome: Outcome) -> Decision:
    return replace(gang, phase=Phase.OVER, verdict=outcome), (Dismiss(), Finish(outcome))


def _running(gang: Gang, event: Event) -> Decision:
    match event:
        case RankReported(rank, outcome, output):
            gang = _with_rank(gang, rank, reported=True)
            if outcome.cause is not Cause.SUCCEEDED:
                return _end(gang, outcome)
            return (replace(gang, output=output) if rank == 0 else gang), ()
        case RankExited(rank):
            return _exited(gang, event)
        case StopRequested(cause, message):
            return _end(gang, Outcome(cause, message), gang.grace_seconds)
        case LimitExceeded(rank, cause, message):
            return _end(gang, Outcome(cause, message, rank=rank), 0.0)
        case _:
            return gang, ()


def _exited(gang: Gang, event: RankExited) -> Decision:
    gang = _with_rank(gang, event.rank, stage=Stage.EXITED)
    bad = _bad_end(gang, event)
    if bad is not None:
        return _end(gang, bad)
    if gang.living():
        return gang, ()
    return replace(gang, phase=Phase.OVER), (Finish(Outcome(Cause.SUCCEEDED), gang.output),)


def _bad_end(gang: Gang, event: RankExited) -> Outcome | None:
    rank, code, signal = event.rank, event.exit_code, event.signal
    if event.out_of_memory:
        return Outcome(Cause.OUT_OF_MEMORY, event.out_of_memory, rank=rank, signal=signal)
    if signal is not None:
        return Outcome(Cause.SIGNAL, f"killed by {signal_name(signal)}", rank=rank, signal=signal)
    if code:
        return Outcome(Cause.EXIT, f"exited with code {code}", rank=rank, exit_code=code)
    silent = not gang.ranks[rank].reported or (rank == 0 and gang.output is None)
    if gang.needs_result and silent:
        # The others would wait for it in their next collective operation.
        return Outcome(Cause.EXIT, "exited before the step returned", rank=rank, exit_code=0)
    return None


def signal_name(number: int) -> str:
    try:
        return f"{signals.Signals(number).name} ({signals.strsignal(number)})"
    except ValueError:
        return f"signal {number}"


def _end(gang: Gang, verdict: Outcome, grace_seconds: float | None = None) -> Decision:
    """Make ``verdict`` the gang's and end whoever still lives."""
    living = gang.living()
    if not living:
        return replace(gang, phase=Phase.OVER, verdict=verdict), (Finish(verdict),)
    gang = replace(gang, phase=Phase.ENDING, verdict=verdict)
    # Who has reported is on its way out: a signal would only disturb its exit handlers.
    asked = tuple(rank for rank in living if not gang.ranks[rank].reported or grace_seconds is not None)
    if grace_seconds is None:
        grace_seconds = PEER_GRACE_SECONDS if asked else gang.grace_seconds
    if grace_seconds <= 0:
        return gang, (Kill(living),)
    return gang, (Terminate(asked, grace_seconds),)


def _ending(gang: Gang, event: Event) -> Decision:
    match event:
        case RankExited(rank):
            gang = _with_rank(gang, rank, stage=Stage.EXITED)
            if gang.living():
                return gang, ()
            assert gang.verdict is not None
            return replace(gang, phase=Phase.OVER), (Finish(gang.verdict),)
        case GraceElapsed() | LimitExceeded():
            return gang, (Kill(gang.living()),)
        case _:
            return gang, ()


def _with_rank(
    gang: Gang,
    rank: int,
    *,
    stage: Stage | None = None,
    reported: bool | None = None,
    seeks: int | None = None,
) -> Gang:
    old = gang.ranks[rank]
    new = Rank(
        old.stage if stage is None else stage,
        old.reported if reported is None else reported,
        old.seeks if seeks is None else seeks,
    )
    return replace(gang, ranks=(*gang.ranks[:rank], new, *gang.ranks[rank + 1 :]))
