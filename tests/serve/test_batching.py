"""What runs next, on every interleaving."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from argosy.serve.model_server.batching import (
    Arrived,
    BatchLimits,
    BatchState,
    Finished,
    Looked,
    Refuse,
    Run,
    Wait,
    Waiting,
    Withdrawn,
    decide,
)


def _arrived(*requests: tuple[int, int]) -> Arrived:
    return Arrived(tuple(Waiting(number, rows) for number, rows in requests))


def test_a_lone_request_runs_at_once() -> None:
    state, commands = decide(BatchState(), _arrived((1, 1)))
    assert commands == (Run((1,)),)
    assert state.running == (1,)


def test_whatever_queued_while_a_batch_ran_is_the_next_batch() -> None:
    state, _ = decide(BatchState(), _arrived((1, 1)))
    for number in (2, 3, 4):
        state, commands = decide(state, _arrived((number, 1)))
        assert commands == ()
    state, commands = decide(state, Finished())
    assert commands == (Run((2, 3, 4)),)
    state, commands = decide(state, Finished())
    assert commands == ()
    assert state == BatchState()


def test_a_batch_ends_before_the_request_that_would_overfill_it() -> None:
    state, commands = decide(BatchState(BatchLimits(batch_rows=4)), _arrived((1, 3), (2, 2), (3, 2)))
    assert commands == (Run((1,)),)
    assert decide(state, Finished())[1] == (Run((2, 3)),)


def test_a_request_larger_than_a_batch_runs_alone() -> None:
    state, commands = decide(BatchState(BatchLimits(batch_rows=4)), _arrived((1, 100), (2, 1)))
    assert commands == (Run((1,)),)
    assert decide(state, Finished())[1] == (Run((2,)),)


def test_a_full_queue_refuses_at_once_and_says_how_full() -> None:
    state, _ = decide(BatchState(BatchLimits(queue_requests=2)), _arrived((0, 1)))
    _, commands = decide(state, _arrived((1, 1), (2, 1), (3, 1)))
    assert commands == (Refuse(3, "2 requests are waiting already"),)


def test_waiting_bytes_are_bounded_but_one_request_may_be_of_any_size() -> None:
    state, _ = decide(BatchState(BatchLimits(queue_bytes=10)), _arrived((0, 1)))
    state, commands = decide(state, Arrived((Waiting(1, 1, 50), Waiting(2, 1, 1))))
    assert commands == (Refuse(2, "50 bytes are waiting already"),)


def test_a_withdrawn_request_never_runs() -> None:
    state, _ = decide(BatchState(), _arrived((1, 1)))
    state, _ = decide(state, _arrived((2, 1), (3, 1)))
    state, _ = decide(state, Withdrawn(2))
    assert decide(state, Finished())[1] == (Run((3,)),)


def test_only_what_is_alike_shares_a_batch_and_nobody_loses_a_turn() -> None:
    requests = (
        Waiting(1, 1, key="a"),
        Waiting(2, 1, key="b"),
        Waiting(3, 1, key="a"),
        Waiting(4, 1, key="b"),
    )
    state, commands = decide(BatchState(), Arrived(requests))
    assert commands == (Run((1, 3)),)
    state, commands = decide(state, Finished())
    assert commands == (Run((2, 4)),)


def test_a_request_without_a_key_runs_alone() -> None:
    requests = (Waiting(1, 1, key=None), Waiting(2, 1, key=None), Waiting(3, 1))
    state, commands = decide(BatchState(), Arrived(requests))
    assert commands == (Run((1,)),)
    state, commands = decide(state, Finished())
    assert commands == (Run((2,)),)


WAITING = BatchLimits(batch_rows=4, wait_seconds=0.5)


def _came(number: int, when: float, rows: int = 1) -> Waiting:
    return Waiting(number, rows, came=when)


def test_a_lone_request_does_not_wait_when_nobody_is_coming() -> None:
    assert decide(BatchState(WAITING), Arrived((_came(1, 10.0),), coming=0))[1] == (Run((1,)),)


def test_a_batch_that_is_not_full_waits_for_a_request_that_is_being_sent() -> None:
    state, commands = decide(BatchState(WAITING), Arrived((_came(1, 10.0),), coming=1))
    assert commands == (Wait(10.5),)
    _, commands = decide(state, Arrived((_came(2, 10.2),), coming=0))
    assert commands == (Run((1, 2)),)


def test_a_batch_runs_when_it_is_full_whoever_is_still_coming() -> None:
    state, _ = decide(BatchState(WAITING), Arrived((_came(1, 10.0),), coming=9))
    _, commands = decide(state, Arrived((_came(2, 10.1, rows=3),), coming=8))
    assert commands == (Run((1, 2)),)


def test_nobody_waits_longer_than_was_said_nor_for_one_that_went_away() -> None:
    state, _ = decide(BatchState(WAITING), Arrived((_came(1, 10.0),), coming=1))
    assert decide(state, Looked(10.5, coming=1))[1] == (Run((1,)),)
    assert decide(state, Looked(10.1, coming=0))[1] == (Run((1,)),)
    assert decide(state, Looked(10.1, coming=1))[1] == (Wait(10.5),)


def test_without_a_wait_nothing_is_ever_held_back() -> None:
    assert decide(BatchState(), Arrived((_came(1, 10.0),), coming=50))[1] == (Run((1,)),)


class Batching(RuleBasedStateMachine):
    """Accepted requests run once each, in order among their like, and nobody waits without a reason."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BatchLimits(batch_rows=5, wait_seconds=3.0, queue_requests=7, queue_bytes=40)
        self.state = BatchState(self.limits)
        self.now = 0.0
        self.coming = 0
        self.requests: dict[int, Waiting] = {}
        self.accepted: list[int] = []
        self.started: list[int] = []
        self.until: float | None = None

    @rule(
        sizes=st.lists(
            st.tuples(st.integers(1, 12), st.integers(0, 30), st.sampled_from(["a", "b", None])), max_size=10
        ),
        coming=st.integers(0, 3),
    )
    def arrive(self, sizes: list[tuple[int, int, str | None]], coming: int) -> None:
        first = len(self.requests)
        requests = tuple(
            Waiting(first + i, rows, size, self.now, key) for i, (rows, size, key) in enumerate(sizes)
        )
        self.requests |= {one.request: one for one in requests}
        self.coming = coming
        self.state, commands = decide(self.state, Arrived(requests, coming))
        refused = {command.request for command in commands if isinstance(command, Refuse)}
        self.accepted += [one.request for one in requests if one.request not in refused]
        self._carry_out(commands)

    @precondition(lambda self: self.state.running)
    @rule(coming=st.integers(0, 3))
    def finish(self, coming: int) -> None:
        self.coming = coming
        self.state, commands = decide(self.state, Finished(self.now, coming))
        self._carry_out(commands)

    @precondition(lambda self: self.state.queue)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from([one.request for one in self.state.queue]))
        self.state, commands = decide(self.state, Withdrawn(request))
        self.accepted.remove(request)
        assert commands == ()

    @rule(fewer=st.integers(1, 3))
    def fewer_are_coming(self, fewer: int) -> None:
        self.coming = max(0, self.coming - fewer)
        self.state, commands = decide(self.state, Looked(self.now, self.coming))
        self._carry_out(commands)

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.until is not None and self.now >= self.until:
            self.state, commands = decide(self.state, Looked(self.now, self.coming))
            self._carry_out(commands)

    def _carry_out(self, commands: tuple[object, ...]) -> None:
        for command in commands:
            if isinstance(command, Wait):
                self.until = command.until
            if isinstance(command, Run):
                self.until = None
                self.started += command.requests
                batch = [self.requests[request] for request in command.requests]
                assert sum(one.rows for one in batch) <= self.limits.batch_rows or len(batch) == 1
                assert len(batch) == 1 or (len({one.key for one in batch}) == 1 and batch[0].key is not None)

    @invariant()
    def once_and_in_order_among_their_like(self) -> None:
        waiting = [one.request for one in self.state.queue]
        assert sorted(self.started + waiting) == self.accepted
        assert waiting == sorted(waiting)
        for key in ("a", "b", None):
            started = [one for one in self.started if self.requests[one].key == key]
            assert started == sorted(started)

    @invariant()
    def bounded(self) -> None:
        assert len(self.state.queue) <= self.limits.queue_requests + self.limits.batch_rows
        assert self.state.queued_bytes == sum(one.size for one in self.state.queue)

    @invariant()
    def idle_only_while_company_is_coming_and_not_for_long(self) -> None:
        if self.state.running or not self.state.queue:
            return
        assert self.coming
        assert self.until is not None
        assert self.now < self.state.queue[0].came + self.limits.wait_seconds


TestBatching = Batching.TestCase
TestBatching.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
