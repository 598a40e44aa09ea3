"""Small grey images as text, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_SHADES = " ░▒▓█"
_ACROSS, _DOWN = 2, 4


def draw(image: npt.NDArray[Any]) -> list[str]:
    """uint8[height, width] as lines of shades; a character stands for two pixels across and four down."""
    height, width = image.shape
    blocks = image.reshape(height // _DOWN, _DOWN, width // _ACROSS, _ACROSS).mean(axis=(1, 3))
    levels = np.minimum((blocks / 256 * len(_SHADES)).astype(int), len(_SHADES) - 1)
    return ["".join(_SHADES[level] for level in row) for row in levels]


def side_by_side(columns: Sequence[Sequence[str]], gap: int = 3) -> str:
    """Equally many lines each, every column as wide as its longest line."""
    widths = [max(len(line) for line in column) for column in columns]
    rows = zip(*columns, strict=True)
    return "\n".join(
        (" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
