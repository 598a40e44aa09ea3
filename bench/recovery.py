"""A worker of a training gang is killed (SIGKILL): when it is noticed, when training goes on, what is lost.

    make bench, or: .venv/bin/python bench/recovery.py

Beside it, in the same rounds: the same network in a plain Keras script that is started again, until its first
training step; it has lost everything.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from support.homes import ROOT, WORKFLOWS, Home, temporary_home
from support.measure import Row, report, seconds

FILES = (WORKFLOWS / "one_training.py", ROOT / "examples" / "fashion_mnist" / "fashion_mnist.py")
PLAIN = Path(__file__).parent / "support" / "plain_keras.py"
BASELINE = "plain Keras started again, until its first step"
ROUNDS = 3
KILL_AFTER_STEPS = 600
PATIENCE_SECONDS = 180.0

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the kill; ``lost_steps`` were computed twice."""

    noticed: float
    went_on: float
    lost_steps: float


def kill_a_worker() -> Recovery:
    with temporary_home() as home:
        for file in FILES:
            shutil.copy(file, home.root)
        run = home.json("run", home.root / "one_training.py", "--detach")["run"]
        attempt, processes, before = wait_for(lambda: training(home, run))
        killed_at = time.time()
        os.kill(processes[1][0], signal.SIGKILL)
        (again, first), ended_at = wait_for(lambda: resumed(home, run, attempt))
        last = wait_for(lambda: steps(home, attempt)) or before
        home.argosy("cancel", run)
    return Recovery(ended_at - killed_at, first[1] - killed_at, max(0.0, last[-1][0] - again))


def training(home: Home, run: str) -> tuple[str, list[list[int]], list[tuple[int, float]]] | None:
    """The first gang that has trained for a while: its attempt, (pid, start ticks) by rank, its steps."""
    for attempt, processes in rows(home, "SELECT attempt, processes FROM attempts WHERE run = ?", run):
        done = steps(home, attempt)
        if processes and done and done[-1][0] >= KILL_AFTER_STEPS:
            return attempt, json.loads(processes), done
    return None


def resumed(home: Home, run: str, attempt: str) -> tuple[tuple[int, tuple[int, float]], float] | None:
    """The step the next attempt of the node went on after, its first report, and when the first one ended."""
    node = attempt.split(":")[1]
    query = "SELECT attempt, ended_at FROM attempts WHERE run = ? AND node = ? ORDER BY number"
    tries = list(rows(home, query, run, node))
    if len(tries) < 2:
        return None
    reported = steps(home, tries[1][0])
    if not reported:
        return None
    interval = reported[1][0] - reported[0][0] if len(reported) > 1 else 50
    return (reported[0][0] - interval, reported[0]), tries[0][1]


def steps(home: Home, attempt: str) -> list[tuple[int, float]]:
    """(global step, time) of every report of an attempt's chief."""
    query = "SELECT step, min(time) FROM metrics WHERE attempt = ? AND rank = 0 GROUP BY step ORDER BY step"
    return list(rows(home, query, attempt))


def rows(home: Home, query: str, *values: str) -> list[Any]:
    database = sqlite3.connect(f"file:{home.root / 'argosy.db'}?mode=ro", uri=True)
    try:
        return database.execute(query, values).fetchall()
    finally:
        database.close()


def wait_for(look: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came of it within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.05)
    return found


def first_step_of_plain_keras() -> float:
    command = [sys.executable, str(PLAIN), "--first-step"]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def main() -> None:
    recoveries, baseline = [], []
    for _ in range(ROUNDS):
        recoveries.append(kill_a_worker())
        baseline.append(first_step_of_plain_keras())
    rows_ = [
        Row("Argosy, until the death is noticed", [r.noticed for r in recoveries], 1.0),
        Row("Argosy, until training goes on", [r.went_on for r in recoveries], 6.0),
        Row(BASELINE, baseline),
    ]
    report("A worker killed while it trains", "s", rows_, BASELINE, "python bench/recovery.py")
    lost = [r.lost_steps for r in recoveries]
    print(f"\nSteps computed twice: median {statistics.median(lost):.0f}, at most {max(lost):.0f}")


if __name__ == "__main__":
    main()
