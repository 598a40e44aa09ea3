"""What a process started by Argosy knows of itself, and the one way it reports.

``argosy.data`` and ``argosy.train`` use nothing else of the control plane. Outside Argosy (a test, a
notebook) :func:`current` gives a stand-alone attempt whose reports go nowhere, so the same code runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Report = Callable[[str, Mapping[str, Any]], None]


def _ignore(kind: str, body: Mapping[str, Any]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class CurrentAttempt:
    """One rank's view of its attempt.

    ``directory`` is scratch space that goes when the attempt ends; ``node_directory`` is kept for the node's
    next attempts. Rank 0 is the chief. ``report(kind, body)`` never blocks for long and never raises.
    """

    attempt: str = ""
    rank: int = 0
    workers: int = 1
    directory: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    node_directory: Path | None = None
    report: Report = _ignore

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    @property
    def checkpoints(self) -> Path | None:
        """Where this node's checkpoints are, and stay when an attempt ends."""
        return self.node_directory / "checkpoints" if self.node_directory else None

    @property
    def tensorboard(self) -> Path | None:
        """Where this node's TensorBoard event files go."""
        return self.node_directory / "tensorboard" if self.node_directory else None

    def metrics(self, *, step: int, epoch: int | None = None, **values: float) -> None:
        """Record numbers at a global step: ``loss``, ``accuracy``, ``examples_per_second``, ..."""
        body: dict[str, Any] = {"step": step, "values": values}
        if epoch is not None:
            body["epoch"] = epoch
        self.report("metrics", body)

    def progress(self, done: float, total: float, message: str = "") -> None:
        """Say how far the step is; shown live."""
        self.report("progress", {"done": done, "total": total, "message": message})


_current: CurrentAttempt | None = None


def current() -> CurrentAttempt:
    """The attempt this process runs, or a stand-alone one outside Argosy."""
    return _current if _current is not None else CurrentAttempt()


def install(attempt: CurrentAttempt | None) -> None:
    """Called once by the worker, before user code."""
    global _current
    _current = attempt
