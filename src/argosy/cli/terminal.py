"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

STATE_STYLES = {
    "waiting": "dim",
    "queued": "yellow",
    "running": "cyan",
    "starting": "cyan",
    "backoff": "yellow",
    "succeeded": "green",
    "ready": "green",
    "serving": "green",
    "standby": "dim",
    "idle": "dim",
    "draining": "dim",
    "cached": "blue",
    "failed": "bold red",
    "degraded": "yellow",
    "skipped": "dim",
    "cancelled": "magenta",
}


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold", no_wrap=column in ("RUN", "STATE"))
    for row in rows:
        drawn.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(drawn)
