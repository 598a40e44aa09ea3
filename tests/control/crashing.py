"""A workflow whose steps leave a witness each time they run."""

from __future__ import annotations

import os
from pathlib import Path

import argosy as ar


def note(witness: str, name: str) -> None:
    """One line, in one write: appended lines never mix."""
    descriptor = os.open(Path(witness), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{name}\n".encode())
    os.close(descriptor)


@ar.step
def first(witness: str, start: int) -> list[int]:
    note(witness, "first")
    return [start, start + 1, start + 2]


@ar.step(memoize=ar.Memoize())
def double(number: int, witness: str) -> int:
    note(witness, f"double {number}")
    return 2 * number


@ar.step(retry=ar.Retry(limit=1, backoff="10ms"))
def flaky(witness: str, number: int) -> int:
    note(witness, "flaky")
    if Path(witness).read_text().count("flaky") == 1:
        raise RuntimeError("the first time always fails")
    return number


@ar.step
def total(numbers: list[int], extra: int, witness: str) -> int:
    note(witness, "total")
    return sum(numbers) + extra


@ar.workflow
def crashing(witness: str, start: int = 1) -> int:
    numbers = first(witness, start)
    return total(double.map(numbers, witness=witness), flaky(witness, start), witness)
