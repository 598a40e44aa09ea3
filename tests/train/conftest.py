"""A small dataset, and gangs of real processes that train on it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argosy import data

HERE = Path(__file__).parent
ROWS, VALIDATION_ROWS, CLASSES = 610, 95, ("left", "middle", "right")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with a brighter third; which third is the class."""
    directory = tmp_path_factory.mktemp("dataset")
    columns = {"images": data.Column("uint8", (12, 12)), "labels": data.Column("uint8", ())}
    writer = data.DatasetWriter(directory, columns, shard_bytes=20_000)
    random = np.random.default_rng(0)
    for split, rows in (("train", ROWS), ("validation", VALIDATION_ROWS)):
        labels = random.integers(0, 3, rows, np.uint8)
        images = random.integers(0, 160, (rows, 12, 12), np.uint8)
        for row, label in enumerate(labels):
            images[row, :, 4 * label : 4 * label + 4] += 60
        writer.append(split, {"images": images, "labels": labels})
    writer.finish(name="thirds", classes=CLASSES, fingerprint="thirds")
    return directory


class Gangs:
    """Runs jobs in gangs of forked processes; see template.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "template.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "ready\n":
                return
        raise RuntimeError("the template did not start")

    def __call__(
        self,
        function: str,
        *,
        workers: int = 1,
        crash: dict[int, str] | None = None,
        environment: dict[str, str] | None = None,
        **arguments: Any,
    ) -> list[int]:
        """Exit statuses by rank. ``crash`` arms a crash point by rank."""
        job = {
            "function": function,
            "workers": workers,
            "crash": {str(rank): point for rank, point in (crash or {}).items()},
            "environment": environment or {},
            "arguments": {name: str(v) if isinstance(v, Path) else v for name, v in arguments.items()},
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        codes: list[int] = json.loads(self._process.stdout.readline())
        return codes

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def gangs() -> Iterator[Gangs]:
    running = Gangs()
    yield running
    running.close()


def weights_of(output: Path, rank: int = 0) -> list[np.ndarray]:
    with np.load(output / f"weights-{rank}.npz") as arrays:
        return [arrays[name] for name in arrays.files]


def summary_of(output: Path, rank: int = 0) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((output / f"rank-{rank}.json").read_text())
    return summary


def error_of(output: Path, rank: int = 0) -> str:
    return (output / f"error-{rank}.txt").read_text()


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
