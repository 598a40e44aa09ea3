"""Two workers of one core each that sum their gradients, beside one TensorFlow process on both cores.

    make bench, or: .venv/bin/python bench/all_reduce.py

All train the main job's first network on global batches of 128 images for one epoch, in new processes each
round. One process runs Argosy's own loop; the other baseline is ``Model.fit`` of Keras.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from support.measure import Row, interleaved, report

from argosy import data

RANK = Path(__file__).parent / "support" / "train_rank.py"
BASELINE = "one process, both cores"
GOAL = 0.85
ROUNDS = 5


def threads(count: int) -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": str(count),
        "TF_NUM_INTRAOP_THREADS": str(count),
        "TF_NUM_INTEROP_THREADS": "2",
    }


def start(mode: str, dataset: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, RANK, mode, dataset],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def microseconds(processes: list[subprocess.Popen[str]]) -> float:
    """Microseconds an image, as rank 0 saw it."""
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("a training failed; run bench/support/train_rank.py by hand to see why")
    return 1e6 / float(outputs[0].splitlines()[-1])


def two_workers(dataset: Path) -> float:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    peers = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    places = [{"cluster": {"worker": peers}, "task": {"type": "worker", "index": rank}} for rank in range(2)]
    return microseconds(
        [start("argosy", dataset, threads(1) | {"TF_CONFIG": json.dumps(place)}) for place in places]
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = data.write_dataset(data.fashion_mnist(), Path(folder)).path
        taken = interleaved(
            {
                "two workers, one core each": lambda: two_workers(dataset),
                BASELINE: lambda: microseconds([start("argosy", dataset, threads(2))]),
                "Keras fit, both cores": lambda: microseconds([start("keras", dataset, threads(2))]),
            },
            ROUNDS,
            warm_up=False,
        )
    target = round(statistics.median(taken[BASELINE]) / GOAL)
    rows = [Row(name, values, target if "workers" in name else None) for name, values in taken.items()]
    report("All-reduce", "µs an image", rows, BASELINE, "bench/all_reduce.py")
    for row in rows:
        print(f"{row.name}: {1e6 / row.median:,.0f} images/s")
    ratios = sorted(one / two for one, two in zip(taken[BASELINE], taken[rows[0].name], strict=True))
    spread = f"{ratios[0]:.2f} – {ratios[-1]:.2f}"
    print(f"Two workers reach {statistics.median(ratios):.2f} of one process ({spread})")


if __name__ == "__main__":
    main()
