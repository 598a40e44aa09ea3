"""Many trivial steps side by side and one that waits for all: 200 wide, 1,000 wide, and 200 wide from memory.

    make bench, or: .venv/bin/python bench/fan_out.py

A run's time is the control plane's own, from accepting it to its end; a command's is what a person waits for
`argosy run`. Beside them, in the same rounds: concurrent.futures with as many processes as cores, which
records nothing and uses a process again, and a bare fork for every call with one SQLite commit each.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

from step_overhead import committed_chain, forked_step
from support.homes import WORKFLOWS, Home, run_seconds, temporary_home
from support.measure import Row, interleaved, report, seconds

WIDE, WIDER = 200, 1000
ROUNDS = 5
POOL, FORKS = f"process pool, {WIDE}", f"fork + commit, {WIDE}"


def square(value: int) -> int:
    return value * value


def process_pool(width: int) -> None:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        sum(pool.map(square, range(width)))


def run(home: Home, workflow: str, width: int) -> float:
    return run_seconds(home.json("run", f"{WORKFLOWS / 'fan.py'}:{workflow}", "--width", str(width)))


def from_memory(home: Home) -> float:
    view = home.json("run", f"{WORKFLOWS / 'fan.py'}:remembered_fan", "--width", str(WIDE))
    states = {node["state"] for node in view["nodes"]}
    if states != {"cached"}:
        raise RuntimeError(f"expected every step from memory, found {states}")
    return run_seconds(view)


def main() -> None:
    with temporary_home() as home:
        home.argosy("up")
        run(home, "remembered_fan", WIDE)
        taken = interleaved(
            {
                f"Argosy, {WIDE}": lambda: run(home, "fan", WIDE),
                f"Argosy, {WIDE}, the command": lambda: seconds(
                    lambda: home.argosy("run", f"{WORKFLOWS / 'fan.py'}:fan", "--width", str(WIDE))
                ),
                f"Argosy, {WIDE} from memory": lambda: from_memory(home),
                POOL: lambda: seconds(lambda: process_pool(WIDE)),
                FORKS: lambda: committed_chain(WIDE, forked_step) * WIDE / 1000,
            },
            ROUNDS,
        )
        wider = interleaved({f"Argosy, {WIDER}": lambda: run(home, "fan", WIDER)}, 3)
        peak = home.control_plane_peak()
    targets = {f"Argosy, {WIDE}": 1.0, f"Argosy, {WIDER}": 5.0, f"Argosy, {WIDE} from memory": 0.3}
    rows = [Row(name, values, targets.get(name)) for name, values in (taken | wider).items()]
    report("Fan-out and fan-in of trivial steps", "s", rows, FORKS, "python bench/fan_out.py")
    print(f"\nPeak resident memory of the control plane: {peak:.0f} MiB (target: ≤ 300 MB)")


if __name__ == "__main__":
    main()
