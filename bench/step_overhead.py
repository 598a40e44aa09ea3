"""What a step costs when it does nothing: a chain, each step in a process of its own and durably recorded.

    make bench, or: .venv/bin/python bench/step_overhead.py

Beside it, in the same rounds: the floors of a bare fork and of a new interpreter, each with one SQLite commit
a step under the settings Argosy uses, and a chain of the same length in Luigi with a process for each task.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.homes import WORKFLOWS, Home, temporary_home
from support.measure import Row, interleaved, report, seconds

LENGTH = 100
INTERPRETERS = 20
ROUNDS = 7


def argosy_chain(home: Home) -> float:
    """Median milliseconds from one step's end to the next one's."""
    run = home.json("run", WORKFLOWS / "chain.py", "--length", str(LENGTH))
    ends: list[float] = sorted(node["ended_at"] for node in run["nodes"])
    return statistics.median(after - before for before, after in itertools.pairwise(ends)) * 1000


def committed_chain(length: int, run_step: Callable[[], None]) -> float:
    """Mean milliseconds of a step and one commit after it."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE steps (number INTEGER, state TEXT);"
        )

        def chain() -> None:
            for number in range(length):
                run_step()
                database.execute("INSERT INTO steps VALUES (?, 'succeeded')", (number,))

        try:
            return seconds(chain) / length * 1000
        finally:
            database.close()


def forked_step() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def interpreter_step() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def luigi_chain() -> float:
    """Mean milliseconds of a task; the process is new, so that imports and logging are Luigi's own affair."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, Path(__file__).parent / "support" / "luigi_chain.py", folder, str(LENGTH)],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(done.stdout) * 1000


def main() -> None:
    with temporary_home() as home:
        home.argosy("up")
        taken: dict[str, Any] = interleaved(
            {
                "Argosy": lambda: argosy_chain(home),
                "fork + commit": lambda: committed_chain(LENGTH, forked_step),
                "new interpreter + commit": lambda: committed_chain(INTERPRETERS, interpreter_step),
                "Luigi, process a task": luigi_chain,
            },
            ROUNDS,
        )
    rows = [Row(name, values, 5.0 if name == "Argosy" else None) for name, values in taken.items()]
    report(
        f"A chain of {LENGTH} trivial steps",
        "ms a step",
        rows,
        "Luigi, process a task",
        "python bench/step_overhead.py",
    )


if __name__ == "__main__":
    main()
