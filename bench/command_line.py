"""What a person waits for at the prompt.

    make bench, or: .venv/bin/python bench/command_line.py

Beside it, in the same rounds: a Python that does nothing, and one that imports click, as every command does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from support.homes import WORKFLOWS, Home, command, temporary_home
from support.measure import Row, interleaved, report, seconds

ROUNDS = 11
BASELINE = "python -c pass"
THREE = WORKFLOWS / "three.py"


def python(statement: str) -> Callable[[], float]:
    return lambda: seconds(lambda: subprocess.run([sys.executable, "-c", statement], check=True))


def from_nothing() -> float:
    with temporary_home() as home:
        return seconds(lambda: home.argosy("run", THREE))


def main() -> None:
    with temporary_home() as home:
        home.argosy("up")
        taken = interleaved(_measurements(home), ROUNDS)
    targets = {
        "argosy --help": 0.2,
        "argosy run, three steps, control plane up": 0.4,
        "argosy run, three steps, from nothing": 1.5,
    }
    rows = [Row(name, values, targets.get(name)) for name, values in taken.items()]
    report("The command line", "s", rows, BASELINE, "python bench/command_line.py")


def _measurements(home: Home) -> dict[str, Callable[[], float]]:
    return {
        "argosy --help": lambda: seconds(
            lambda: subprocess.run([*command(), "--help"], check=True, stdout=subprocess.DEVNULL)
        ),
        "argosy status": lambda: seconds(lambda: home.argosy("status")),
        "argosy run, three steps, control plane up": lambda: seconds(lambda: home.argosy("run", THREE)),
        "argosy run, three steps, from nothing": from_nothing,
        BASELINE: python("pass"),
        'python -c "import click"': python("import click"),
    }


if __name__ == "__main__":
    main()
