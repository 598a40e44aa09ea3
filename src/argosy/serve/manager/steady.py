"""Time for decisions: a clock of the day that never jumps."""

from __future__ import annotations

from argosy.clock import Clock


class SteadyClock:
    """Starts at the clock's time of the day and goes on with its monotonic one: when the machine's clock is
    set, nothing is suddenly late, and nothing has to wait for hours."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()

    def now(self) -> float:
        """Seconds since the Unix epoch, as the clock said when this one was made."""
        return self._clock.monotonic() + self._offset
