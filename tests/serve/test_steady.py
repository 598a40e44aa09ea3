"""Time that does not jump."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.serve.manager.steady import SteadyClock


@dataclass
class Jumping:
    """The day's clock is set; the monotonic one is not."""

    day: float = 1_700_000_000.0
    since: float = 50.0

    def now(self) -> float:
        return self.day

    def monotonic(self) -> float:
        return self.since


def test_a_clock_that_is_set_makes_nothing_late_and_nothing_wait() -> None:
    clock = Jumping()
    steady = SteadyClock(clock)
    assert steady.now() == clock.day
    for jump in (3600.0, -7200.0):
        clock.day += jump
        clock.since += 1
    assert steady.now() == 1_700_000_002.0
