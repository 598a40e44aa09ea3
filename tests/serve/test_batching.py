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
    Refuse,
    Run,
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


class Batching(RuleBasedStateMachine):
    """Accepted requests run once each, in order, and the server is never idle while one waits."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BatchLimits(batch_rows=5, queue_requests=7, queue_bytes=40)
        self.state = BatchState(self.limits)
        self.rows: dict[int, int] = {}
        self.expected: list[int] = []
        self.started: list[int] = []

    @rule(sizes=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 30)), max_size=10))
    def arrive(self, sizes: list[tuple[int, int]]) -> None:
        first = len(self.rows)
        requests = tuple(Waiting(first + i, rows, size) for i, (rows, size) in enumerate(sizes))
        self.rows |= {one.request: one.rows for one in requests}
        self.state, commands = decide(self.state, Arrived(requests))
        refused = {command.request for command in commands if isinstance(command, Refuse)}
        self.expected += [one.request for one in requests if one.request not in refused]
        self._carry_out(commands)

    @precondition(lambda self: self.state.running)
    @rule()
    def finish(self) -> None:
        self.state, commands = decide(self.state, Finished())
        self._carry_out(commands)

    @precondition(lambda self: self.state.queue)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from([one.request for one in self.state.queue]))
        self.state, commands = decide(self.state, Withdrawn(request))
        self.expected.remove(request)
        assert commands == ()

    def _carry_out(self, commands: tuple[object, ...]) -> None:
        for command in commands:
            if isinstance(command, Run):
                self.started += command.requests
                total = sum(self.rows[request] for request in command.requests)
                assert total <= self.limits.batch_rows or len(command.requests) == 1

    @invariant()
    def in_order_and_once(self) -> None:
        assert self.started == self.expected[: len(self.started)]
        waiting = [one.request for one in self.state.queue]
        assert self.started + waiting == self.expected

    @invariant()
    def bounded_and_never_idle(self) -> None:
        assert self.state.running or not self.state.queue
        assert len(self.state.queue) <= self.limits.queue_requests + self.limits.batch_rows
        assert self.state.queued_bytes == sum(one.size for one in self.state.queue)


TestBatching = Batching.TestCase
TestBatching.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
