"""Progress as plain lines: one for each change of state, for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable

from argosy.api.views import RunView
from argosy.cli.progress.rows import Row, rows
from argosy.units import format_duration

_GROUP_INTERVAL = 1.0


class PlainProgress:
    """Says what changed since the last view. Of a group, whose counts change all the time, once a second."""

    def __init__(
        self,
        say: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._say = say
        self._monotonic = monotonic
        self._now = now
        self._last: dict[str, tuple[object, ...]] = {}
        self._said_at: dict[str, float] = {}
        self._reason = ""

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, run: RunView) -> None:
        over = run.state != "running"
        if not over and run.reason != self._reason:
            self._reason = run.reason
            self._say(f"the run is {run.reason}" if run.reason else "the run goes on")
        for row in rows(run):
            known = row.name in self._last and self._last[row.name][0] == row.state
            if self._is_news(row, over):
                self._say(_line(row, run, self._moment(row, known)))

    def _moment(self, row: Row, known: bool) -> float | None:
        """When the news happened: a row that went on running says it now."""
        if row.ended_at is not None:
            return row.ended_at
        return self._now() if known and row.state == "running" else row.started_at

    def note(self, text: str) -> None:
        self._say(text)

    def _is_news(self, row: Row, over: bool) -> bool:
        state = (row.state, row.detail) if row.nodes > 1 else (row.state, row.attempt, row.epoch)
        if self._last.get(row.name) == state:
            return False
        now = self._monotonic()
        if (
            row.nodes > 1
            and not over
            and now - self._said_at.get(row.name, -_GROUP_INTERVAL) < _GROUP_INTERVAL
        ):
            return False
        first = row.name not in self._last
        self._last[row.name] = state
        self._said_at[row.name] = now
        # That everything waits at first is no news.
        return not (first and row.state == "waiting")


def _line(row: Row, run: RunView, moment: float | None) -> str:
    text = f"{row.name}: {row.state}"
    if row.ended_at is not None and row.state in ("succeeded", "failed", "cancelled"):
        seconds = row.seconds(row.ended_at)
        text += f" in {format_duration(seconds)}" if seconds is not None else ""
    if row.detail:
        text += f", {row.detail}"
    since = "" if moment is None else f"+{max(0.0, moment - run.created_at):.1f}s"
    return f"{since:>8}  {text}"
