"""Progress as a table that redraws itself, on a terminal."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from argosy.api.views import RunView
from argosy.cli.progress.rows import Row, fitted, rows
from argosy.cli.terminal import STATE_STYLES
from argosy.units import format_duration

_GLYPHS = {
    "waiting": "·",
    "queued": "◦",
    "backoff": "↻",
    "succeeded": "✓",
    "cached": "≡",
    "failed": "✗",
    "skipped": "–",
    "cancelled": "■",
}
_STATE_WORDS = {"succeeded": "done", "cached": "from cache", "backoff": "again soon"}
_FRAME_LINES = 4
_STATE_WIDTH = 10
_TIME_WIDTH = 7


class LiveProgress:
    """Redraws four times a second, and at each view. Everything is drawn on standard error."""

    def __init__(self) -> None:
        # No markup: names and messages hold brackets of their own.
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._plain_glyphs = not (self._console.encoding or "").lower().startswith("utf")
        self._spinner = Spinner("line" if self._plain_glyphs else "dots")
        self._run: RunView | None = None
        self._rows: list[Row] = []
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, run: RunView) -> None:
        # A tuple assigned once: the drawing thread sees the old pair or the new one.
        self._run, self._rows = run, rows(run)
        self._live.refresh()

    def note(self, text: str) -> None:
        self._console.print(text, style="yellow")

    def _draw(self) -> RenderableType:
        run = self._run
        if run is None:
            return Text("")
        now = time.time()
        over = run.state != "running"
        height = len(self._rows) if over else max(1, self._console.height - _FRAME_LINES)
        shown, left_out = fitted(self._rows, height)
        parts: list[RenderableType] = [self._title(run, now), self._table(shown, now)]
        if not over and run.reason:
            parts.insert(1, Text(f"  {run.reason}", style="yellow", no_wrap=True, overflow="ellipsis"))
        if left_out:
            parts.append(Text(f"  … and {left_out} more", style="dim"))
        return Group(*parts)

    def _title(self, run: RunView, now: float) -> Text:
        seconds = (run.ended_at or now) - run.created_at
        return Text.assemble(
            (run.workflow, "bold"), " ", (run.run, "dim"), f"  {format_duration(max(0.0, seconds))}"
        )

    def _table(self, shown: list[Row], now: float) -> Table:
        # Widths are fixed: a table too wide for the terminal would be narrowed in every column, and one that
        # follows its cells would jump at each change.
        longest = max((len(row.name) for row in shown), default=0)
        name = min(longest, max(16, self._console.width // 3))
        detail = max(8, self._console.width - 1 - name - _STATE_WIDTH - _TIME_WIDTH - 5)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
        for width in (1, name, _STATE_WIDTH):
            table.add_column(width=width, no_wrap=True, overflow="ellipsis")
        table.add_column(width=_TIME_WIDTH, no_wrap=True, justify="right")
        table.add_column(max_width=detail, no_wrap=True, overflow="ellipsis")
        for row in shown:
            style = STATE_STYLES.get(row.state, "")
            seconds = None if row.state in ("waiting", "cached", "skipped") else row.seconds(now)
            table.add_row(
                self._glyph(row.state, now, style),
                Text(row.name),
                Text(_STATE_WORDS.get(row.state, row.state), style=style),
                Text("" if seconds is None else format_duration(seconds), style="dim"),
                Text(row.detail, style="red" if row.state == "failed" else "dim"),
            )
        return table

    def _glyph(self, state: str, now: float, style: str) -> RenderableType:
        if state == "running":
            frame = self._spinner.render(now)
            return Text(str(frame), style=style)
        return Text(state[0] if self._plain_glyphs else _GLYPHS.get(state, "?"), style=style)
