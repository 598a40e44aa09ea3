"""Quantities as people write them: ``2Gi``, ``500m``, ``14d``."""

from __future__ import annotations

import re
from datetime import timedelta

from argosy.errors import InvalidRequest

_MEMORY_FACTORS = {
    "": 1,
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_DURATION_FACTORS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_WORDS = "second|minute|hour|day|week"
# Three thousand years, or as many units of memory: what is beyond is a slip of the pen.
_LARGEST = 1e11
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(k|M|G|T|Ki|Mi|Gi|Ti)?B?")
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)\s*((?:{_WORDS})s?|ms|[smhdw])")
_CPU = re.compile(r"(\d+(?:\.\d+)?)(m)?")


def parse_memory(text: str | int) -> int:
    """Bytes of a Kubernetes quantity such as ``512Mi``, ``2Gi`` or ``2G``; an int is bytes already."""
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    match = _MEMORY.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or not 0 < float(match[1]) < _LARGEST:
        raise InvalidRequest(
            f"memory {text!r} is not a size",
            hint="write a number with a unit, such as '512Mi' or '2Gi'",
        )
    return int(float(match[1]) * _MEMORY_FACTORS[match[2] or ""])


def parse_cpu(text: str | int | float) -> float:
    """Cores of a Kubernetes quantity such as ``1``, ``0.5`` or ``500m``; zero is allowed."""
    if isinstance(text, int | float) and not isinstance(text, bool) and 0 <= text < float("inf"):
        return float(text)
    match = _CPU.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidRequest(
            f"cpu {text!r} is not a number of cores",
            hint="write cores, such as 1, 0.5 or '500m'",
        )
    return float(match[1]) / (1000 if match[2] else 1)


def parse_duration(value: str | int | float | timedelta) -> timedelta:
    """The duration of ``300ms``, ``30s``, ``2h``, ``14d``, ``1 minute``; a number is seconds."""
    if isinstance(value, timedelta) and value > timedelta(0):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LARGEST:
        return timedelta(seconds=value)
    parts = _DURATION.findall(value) if isinstance(value, str) else []
    whole = "".join(number + unit for number, unit in parts)
    seconds = sum(float(n) * _DURATION_FACTORS[unit if unit == "ms" else unit[0]] for n, unit in parts)
    if not 0 < seconds < _LARGEST or whole != re.sub(r"\s", "", str(value)):
        raise InvalidRequest(
            f"duration {value!r} is not a length of time",
            hint="write a number with a unit, such as '30s', '5m', '2h' or '14d'",
        )
    return timedelta(seconds=seconds)


def format_memory(size: int) -> str:
    """``1.5Gi`` for a number of bytes."""
    amount = float(size)
    for unit in ("", "Ki", "Mi", "Gi"):
        if amount < 1024:
            return f"{amount:.4g}{unit}"
        amount /= 1024
    return f"{amount:.4g}Ti"


def format_duration(seconds: float) -> str:
    """``850ms``, ``4.2s``, ``3m 05s``, ``2h 10m``, ``3d 4h`` for a number of seconds."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24}h"
