"""The pure life of a gang: a table of stories, and laws that hold whatever happens in whatever order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from argosy.runtime import gang as gangs
from argosy.runtime.gang import (
    Command,
    Dismiss,
    Event,
    Finish,
    Gang,
    GraceElapsed,
    Kill,
    LimitExceeded,
    Phase,
    RankExited,
    RankReady,
    RankReported,
    RankUnavailable,
    Release,
    Seek,
    Stage,
    StopRequested,
    Terminate,
    decide,
    gather,
)
from argosy.runtime.protocol import Cause, Outcome

RESULT = msgspec.Raw(b"42")
DONE = Outcome(Cause.SUCCEEDED)
FAULT = Outcome(Cause.ERROR, "ValueError: no", rank=1)


def tell(workers: int, *events: Event, needs_result: bool = True) -> list[Command]:
    """Every command of a story, in order."""
    gang, commands = gather(workers, needs_result=needs_result, grace_seconds=5.0)
    told = list(commands)
    for event in events:
        gang, commands = decide(gang, event)
        told += commands
    return told


def after_release(workers: int, *events: Event, needs_result: bool = True) -> list[Command]:
    ready = [RankReady(rank) for rank in range(workers)]
    told = tell(workers, *ready, *events, needs_result=needs_result)
    return told[told.index(Release()) + 1 :]


def test_no_rank_gets_work_before_every_rank_has_a_process() -> None:
    assert tell(3, RankReady(2), RankReady(0)) == [Seek(0), Seek(1), Seek(2)]
    assert tell(3, RankReady(2), RankReady(0), RankReady(1))[-1] == Release()


def test_another_process_is_sought_for_one_that_died_before_its_work() -> None:
    assert tell(2, RankReady(0), RankExited(0, signal=9)) == [Seek(0), Seek(1), Seek(0)]


def test_processes_that_keep_dying_before_their_work_end_the_attempt() -> None:
    told = tell(1, *[RankExited(0, signal=9)] * 10)
    assert told[-2:] == [
        Dismiss(),
        Finish(Outcome(Cause.ERROR, "4 processes died before they were given their work")),
    ]


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (RankUnavailable(1, "no process"), Outcome(Cause.ERROR, "no process", rank=1)),
        (StopRequested(Cause.PREEMPTED, "for b"), Outcome(Cause.PREEMPTED, "for b")),
    ],
)
def test_what_has_not_started_gives_its_processes_back(event: Event, outcome: Outcome) -> None:
    assert tell(2, RankReady(0), event, RankReady(1))[2:] == [Dismiss(), Finish(outcome)]


def test_success_needs_the_result_of_rank_0_and_the_exit_of_all() -> None:
    story = [RankReported(0, DONE, RESULT), RankExited(0, 0), RankReported(1, DONE)]
    assert after_release(2, *story) == []
    assert after_release(2, *story, RankExited(1, 0)) == [Finish(DONE, RESULT)]


def test_rank_0_that_exits_without_a_result_has_failed_when_one_is_needed() -> None:
    exited = Outcome(Cause.EXIT, "exited before the step returned", exit_code=0)
    assert after_release(1, RankExited(0, 0)) == [Finish(exited)]
    assert after_release(1, RankExited(0, 0), needs_result=False) == [Finish(DONE)]


def test_another_rank_that_exits_before_it_returned_ends_the_gang() -> None:
    exited = Outcome(Cause.EXIT, "exited before the step returned", rank=1, exit_code=0)
    story = after_release(2, RankExited(1, 0), RankExited(0, signal=15))
    assert story == [Terminate((0,), gangs.PEER_GRACE_SECONDS), Finish(exited)]


def test_the_first_bad_end_ends_the_others_and_is_the_outcome() -> None:
    killed = Outcome(Cause.SIGNAL, "killed by SIGSEGV (Segmentation fault)", rank=1, signal=11)
    told = after_release(
        3,
        RankExited(1, signal=11),
        RankReported(0, Outcome(Cause.ERROR, "peer is gone")),
        RankExited(0, 1),
        GraceElapsed(),
        RankExited(2, signal=9),
    )
    assert told == [Terminate((0, 2), gangs.PEER_GRACE_SECONDS), Kill((2,)), Finish(killed)]


def test_who_reported_a_fault_is_left_to_exit_by_itself() -> None:
    told = after_release(2, RankReported(1, FAULT), RankExited(1, 1), RankExited(0, signal=15))
    assert told == [Terminate((0,), gangs.PEER_GRACE_SECONDS), Finish(FAULT)]


def test_a_stop_outlives_the_signals_it_causes() -> None:
    stopped = Outcome(Cause.TIMEOUT, "too long")
    told = after_release(1, StopRequested(Cause.TIMEOUT, "too long"), GraceElapsed(), RankExited(0, signal=9))
    assert told == [Terminate((0,), 5.0), Kill((0,)), Finish(stopped)]


def test_a_stop_wins_over_a_result_that_comes_in_its_grace() -> None:
    story = [StopRequested(Cause.CANCELLED), RankReported(0, DONE, RESULT), RankExited(0, 0)]
    assert after_release(1, *story)[-1] == Finish(Outcome(Cause.CANCELLED))


def test_a_limit_kills_at_once() -> None:
    told = after_release(2, LimitExceeded(1, Cause.OUT_OF_MEMORY, "too much"))
    assert told == [Kill((0, 1))]


def test_a_kill_of_the_kernel_for_memory_is_told_apart() -> None:
    told = after_release(1, RankExited(0, signal=9, out_of_memory="at its limit"))
    assert told == [Finish(Outcome(Cause.OUT_OF_MEMORY, "at its limit", signal=9))]


class GangMachine(RuleBasedStateMachine):
    """Any events in any order a real machine can produce, and a few it can not."""

    workers = 3

    def __init__(self) -> None:
        super().__init__()
        self.gang: Gang
        self.gang, commands = gather(self.workers, needs_result=True, grace_seconds=5.0)
        self.sought = {c.rank for c in commands if isinstance(c, Seek)}
        self.ready: set[int] = set()
        self.alive: set[int] = set()
        self.exits: dict[int, int | None] = {}
        self.reported: set[int] = set()
        self.result = False
        self.stopped: Cause | None = None
        self.released = False
        self.finished: list[Finish] = []

    def happen(self, event: Event) -> None:
        over = self.gang.phase is Phase.OVER
        self.gang, commands = decide(self.gang, event)
        assert not (over and commands), "nothing follows the end"
        for command in commands:
            self.obey(command)

    def obey(self, command: Command) -> None:
        assert not self.finished, "nothing is asked after the end"
        match command:
            case Seek(rank):
                assert rank not in self.ready
                self.sought.add(rank)
            case Release():
                assert not self.released
                assert len(self.ready) == self.workers, "all or none"
                self.released, self.alive, self.ready = True, self.ready, set()
            case Dismiss():
                assert not self.released, "who has started is never given back"
                self.ready, self.sought = set(), set()
            case Terminate(ranks) | Kill(ranks):
                assert set(ranks) <= self.alive, "only the living are signalled"
            case Finish():
                assert not self.alive, "the end comes after every exit"
                self.finished.append(command)

    @precondition(lambda self: self.sought)
    @rule(data=st.data())
    def a_process_is_found(self, data: st.DataObject) -> None:
        rank = data.draw(st.sampled_from(sorted(self.sought)))
        self.sought.discard(rank)
        self.ready.add(rank)
        self.happen(RankReady(rank))

    @precondition(lambda self: self.sought)
    @rule()
    def no_process_is_found(self) -> None:
        self.happen(RankUnavailable(min(self.sought), "none"))

    @precondition(lambda self: self.ready and not self.released)
    @rule(data=st.data())
    def a_ready_process_dies(self, data: st.DataObject) -> None:
        rank = data.draw(st.sampled_from(sorted(self.ready)))
        self.ready.discard(rank)
        self.happen(RankExited(rank, signal=9))

    @precondition(lambda self: self.alive - self.reported)
    @rule(data=st.data(), good=st.booleans())
    def a_rank_reports(self, data: st.DataObject, good: bool) -> None:
        rank = data.draw(st.sampled_from(sorted(self.alive - self.reported)))
        self.reported.add(rank)
        self.result |= good and rank == 0
        outcome = DONE if good else Outcome(Cause.ERROR, rank=rank)
        self.happen(RankReported(rank, outcome, RESULT if good and rank == 0 else None))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), code=st.sampled_from([0, 0, 1, None]))
    def a_rank_exits(self, data: st.DataObject, code: int | None) -> None:
        rank = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.discard(rank)
        self.exits[rank] = code
        self.happen(RankExited(rank, code, None if code is not None else 9))

    @rule(cause=st.sampled_from([Cause.CANCELLED, Cause.PREEMPTED, Cause.TIMEOUT]))
    def a_stop_is_requested(self, cause: Cause) -> None:
        if self.gang.phase in (Phase.GATHERING, Phase.RUNNING):
            self.stopped = cause
        self.happen(StopRequested(cause))

    @rule()
    def a_grace_elapses(self) -> None:
        self.happen(GraceElapsed())

    @precondition(lambda self: self.alive)
    @rule()
    def a_limit_is_passed(self) -> None:
        self.happen(LimitExceeded(min(self.alive), Cause.OUT_OF_MEMORY, "too much"))

    @invariant()
    def it_ends_once_and_only_when_nothing_is_left_to_wait_for(self) -> None:
        assert len(self.finished) <= 1
        if self.released and not self.alive:
            assert len(self.finished) == 1
        assert (self.gang.phase is Phase.OVER) == bool(self.finished)

    @invariant()
    def success_is_every_exit_0_and_a_result(self) -> None:
        for finish in self.finished:
            assert (finish.output is not None) == (finish.outcome.cause is Cause.SUCCEEDED)
            if finish.outcome.cause is Cause.SUCCEEDED:
                assert self.result
                assert set(self.exits.values()) == {0}
                assert self.stopped is None

    @invariant()
    def a_stop_is_the_cause(self) -> None:
        for finish in self.finished:
            if self.stopped is not None:
                assert finish.outcome.cause is self.stopped

    @invariant()
    def stages_are_those_of_the_phase(self) -> None:
        stages = {rank.stage for rank in self.gang.ranks}
        if self.gang.phase is Phase.GATHERING:
            assert stages <= {Stage.SOUGHT, Stage.READY}
        if self.gang.phase in (Phase.RUNNING, Phase.ENDING):
            assert stages <= {Stage.RUNNING, Stage.EXITED}


GangMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestGang = GangMachine.TestCase
