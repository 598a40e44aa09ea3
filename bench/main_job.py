"""The main job, with nothing cached and again with everything, beside a plain Keras script.

    make bench, or: .venv/bin/python bench/main_job.py

The script trains the same networks on the same images with the same batch size and epochs, one after another
in one process that uses every core, and saves them. It does not ingest, validate, select, record, export or
serve.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.homes import ROOT, Home, run_seconds, temporary_home
from support.measure import Row, interleaved, report, seconds

WORKFLOW = ROOT / "examples" / "fashion_mnist" / "fashion_mnist.py"
PLAIN = Path(__file__).parent / "support" / "plain_keras.py"
BASELINE = "plain Keras, training alone"
ROUNDS = 3


def main() -> None:
    cached: list[float] = []

    def main_job() -> float:
        with temporary_home() as home:
            fresh = home.json("run", WORKFLOW)
            cached.append(seconds(lambda: rerun(home)))
        return run_seconds(fresh)

    rows = [
        Row(name, values, 300.0 if name.startswith("Argosy") else None)
        for name, values in interleaved(
            {"Argosy, nothing cached": main_job, BASELINE: plain_keras}, ROUNDS, warm_up=False
        ).items()
    ]
    rows.insert(1, Row("Argosy, rerun from cache (the command)", cached, 5.0))
    report("The main job", "s", rows, BASELINE, "python bench/main_job.py")


def rerun(home: Home) -> None:
    view = home.json("run", WORKFLOW)
    steps = [node["state"] for node in view["nodes"] if node["kind"] == "step"]
    if set(steps) != {"cached"}:
        raise RuntimeError(f"expected every step from cache, found {steps}")


def plain_keras() -> float:
    return seconds(lambda: subprocess.run([sys.executable, PLAIN], check=True, capture_output=True))


if __name__ == "__main__":
    main()
