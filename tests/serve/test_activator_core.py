"""Requests that wait for a replica, whatever happens meanwhile."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from argosy.serve.activator.core import (
    Answered,
    Arrived,
    Broken,
    Command,
    Demand,
    Event,
    Left,
    Limits,
    Refuse,
    Send,
    State,
    Supplied,
    Supply,
    Ticked,
    decide,
    next_due,
)

LIMITS = Limits(requests=4, body_bytes=100, wait_seconds=10, sends=3)
NONE = Supply((), 2, "model 'cnn' is still starting")


def after(*events: Event, limits: Limits = LIMITS) -> tuple[State, list[Command]]:
    state = State()
    commands: list[Command] = []
    for event in events:
        state, new = decide(state, event, limits)
        commands += new
    return state, commands


def test_a_request_waits_demands_a_replica_and_goes_where_one_is() -> None:
    supplied = Supplied(0, {"a": NONE})
    _, commands = after(supplied, Arrived(0, 1, "a", 5), Supplied(1, {"a": Supply((80,), 2)}))
    assert commands == [Demand("a"), Send(1, 80)]


def test_requests_are_spread_and_no_replica_gets_more_than_it_can_take() -> None:
    _, commands = after(
        Supplied(0, {"a": Supply((80, 81), 1)}), *(Arrived(0, number, "a", 0) for number in (1, 2, 3))
    )
    assert commands == [Send(1, 80), Send(2, 81)]
    _, commands = after(
        Supplied(0, {"a": Supply((80, 81), 1)}),
        *(Arrived(0, number, "a", 0) for number in (1, 2, 3)),
        Answered(1, 2),
    )
    assert commands[-1] == Send(3, 81)


def test_too_many_are_refused_at_once() -> None:
    arrivals = [Arrived(0, number, "a", 1) for number in range(5)]
    _, commands = after(Supplied(0, {"a": NONE}), *arrivals)
    assert commands == [Demand("a"), Refuse(4, 429, "4 requests wait for a replica already")]


def test_one_too_large_to_wait_still_says_that_a_replica_is_needed() -> None:
    _, commands = after(Supplied(0, {"a": NONE}), Arrived(0, 1, "a", 101))
    assert commands[0] == Demand("a")
    assert isinstance(commands[1], Refuse)


def test_a_replica_that_went_away_again_is_demanded_again() -> None:
    _, commands = after(
        Supplied(0, {"a": NONE}), Arrived(0, 1, "a", 0), Supplied(1, {"a": Supply((), 2, "it went")})
    )
    assert commands == [Demand("a"), Demand("a")]


def test_too_large_a_heap_of_bodies_is_refused() -> None:
    _, commands = after(Supplied(0, {"a": NONE}), Arrived(0, 1, "a", 60), Arrived(0, 2, "a", 41))
    assert isinstance(commands[-1], Refuse)
    assert commands[-1].status == 503
    assert "60 bytes, and with 41 more it were over 100" in commands[-1].reason


def test_one_that_waited_too_long_is_told_what_is_wrong() -> None:
    state, _ = after(Supplied(0, {"a": NONE}), Arrived(0, 1, "a", 0))
    assert next_due(state) == 10
    trouble = Supplied(5, {"a": Supply((), 2, "model 'cnn' does not start: broken")})
    _, commands = after(Supplied(0, {"a": NONE}), Arrived(0, 1, "a", 0), trouble, Ticked(10))
    reason = "no replica took it within 10 s: model 'cnn' does not start: broken"
    assert commands[-1] == Refuse(1, 503, reason, retry_after=5)


def test_nobody_waits_for_what_can_not_start() -> None:
    hopeless = Supply((), 2, "model 'cnn' does not start: broken", hopeless=True)
    _, commands = after(Supplied(0, {"a": NONE}), Arrived(0, 1, "a", 0), Supplied(1, {"a": hopeless}))
    assert commands[1] == Refuse(1, 503, "model 'cnn' does not start: broken")
    _, commands = after(Supplied(0, {"a": hopeless}), Arrived(0, 1, "a", 0))
    assert commands == [Demand("a"), Refuse(1, 503, "model 'cnn' does not start: broken")]


def test_one_whose_connection_breaks_is_sent_to_another_replica() -> None:
    _, commands = after(
        Supplied(0, {"a": Supply((80, 81), 2)}), Arrived(0, 1, "a", 0), Broken(1, 1, "reset by peer")
    )
    assert commands == [Send(1, 80), Send(1, 81)]


def test_one_that_breaks_every_replica_is_refused() -> None:
    events: list[Event] = [Supplied(0, {"a": Supply((80, 81, 82), 2)}), Arrived(0, 1, "a", 0)]
    state, commands = after(*events, *(Broken(1, 1, "reset") for _ in range(3)))
    assert commands[-1] == Refuse(1, 503, "it was sent to 3 replicas in vain: reset")
    assert not state.held


def test_one_whose_caller_left_is_not_sent() -> None:
    _, commands = after(
        Supplied(0, {"a": NONE}),
        Arrived(0, 1, "a", 0),
        Left(1, 1),
        Supplied(2, {"a": Supply((80,), 2)}),
    )
    assert commands == [Demand("a")]


def test_what_was_taken_away_is_refused() -> None:
    _, commands = after(Supplied(0, {"a": NONE}), Arrived(0, 1, "a", 0), Supplied(1, {}))
    assert commands[-1] == Refuse(1, 503, "what was asked for was taken away meanwhile")
    _, commands = after(Arrived(0, 1, "a", 0))
    assert commands == [Refuse(1, 503, "what was asked for has just been taken away")]


class Waiting(RuleBasedStateMachine):
    """Whatever happens: nobody is forgotten, nobody gets two words, and no replica gets too much."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.time = 0.0
        self.number = 0
        self.waiting: set[int] = set()
        self.sent: dict[int, int] = {}

    def feed(self, event: Event) -> None:
        self.state, commands = decide(self.state, event, LIMITS)
        for command in commands:
            if isinstance(command, Send):
                assert command.request in self.waiting
                self.waiting.remove(command.request)
                self.sent[command.request] = command.port
            elif isinstance(command, Refuse):
                self.waiting.discard(command.request)
                assert command.request not in self.sent
                assert command.retry_after > 0

    @rule(cluster=st.sampled_from("ab"), size=st.integers(0, 60))
    def arrive(self, cluster: str, size: int) -> None:
        self.number += 1
        self.waiting.add(self.number)
        self.feed(Arrived(self.time, self.number, cluster, size))

    @rule(
        counts=st.dictionaries(st.sampled_from("ab"), st.sets(st.integers(1, 4), max_size=3)),
        capacity=st.integers(1, 3),
    )
    def supply(self, counts: dict[str, set[int]], capacity: int) -> None:
        """Ports of different clusters are different."""
        first = {"a": 80, "b": 90}
        supplies = {
            name: Supply(tuple(first[name] + one for one in sorted(numbers)), capacity)
            for name, numbers in counts.items()
        }
        self.feed(Supplied(self.time, supplies))

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data(), how=st.sampled_from(["answer", "break", "leave"]))
    def end(self, data: st.DataObject, how: str) -> None:
        request = data.draw(st.sampled_from(sorted(self.sent)))
        del self.sent[request]
        if how == "break":
            self.waiting.add(request)
            self.feed(Broken(self.time, request, "reset"))
        else:
            self.feed((Answered if how == "answer" else Left)(self.time, request))

    @precondition(lambda self: bool(self.waiting))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.waiting)))
        self.waiting.remove(request)
        self.feed(Left(self.time, request))

    @rule(seconds=st.floats(0, 12))
    def wait(self, seconds: float) -> None:
        self.time += seconds
        self.feed(Ticked(self.time))

    @invariant()
    def everybody_is_where_they_should_be(self) -> None:
        assert {number for number, one in self.state.held.items() if not one.port} == self.waiting
        assert {number: one.port for number, one in self.state.held.items() if one.port} == self.sent

    @invariant()
    def bounds_hold_and_nobody_waits_beside_a_free_replica(self) -> None:
        for cluster, supply in self.state.supplies.items():
            held = [one for one in self.state.held.values() if one.cluster == cluster]
            assert len(held) <= LIMITS.requests
            assert sum(one.size for one in held) <= LIMITS.body_bytes
            for port in supply.ports:
                there = sum(one.port == port for one in held)
                if there < supply.capacity:
                    assert all(port in one.tried for one in self.state.waiting(cluster))

    def teardown(self) -> None:
        self.time += LIMITS.wait_seconds
        self.feed(Ticked(self.time))
        assert not self.waiting
        assert next_due(self.state) is None


TestWaiting = Waiting.TestCase
TestWaiting.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
