"""What a rank tells while it trains: to the metadata store, and (the chief) to TensorBoard files."""

from __future__ import annotations

from typing import Any

import numpy as np

from argosy import reporting
from argosy.train.cluster import Cluster


class Window:
    """The steps since the last report."""

    def __init__(self) -> None:
        self._results: list[Any] = []
        self._examples, self._seconds = 0, 0.0

    def add(self, results: Any, examples: int, seconds: float) -> None:
        """``results`` is float[steps, 2], (loss, accuracy) of each step."""
        self._results.append(results)
        self._examples += examples
        self._seconds += seconds

    def take(self) -> dict[str, float]:
        """The metrics of the window, of all ranks together; the window is empty afterwards."""
        results = np.concatenate(self._results)
        examples, seconds = self._examples, self._seconds
        self._results, self._examples, self._seconds = [], 0, 0.0
        return {
            "loss": float(results[:, 0].mean()),
            "accuracy": float(results[:, 1].mean()),
            "examples_per_second": examples / seconds,
            "step_latency_ms": 1000 * seconds / len(results),
        }


class Telemetry:
    """Numbers at a global step. Epochs are numbered from 1 here, where people read them."""

    def __init__(self, tf: Any, cluster: Cluster, epochs: int, steps_per_epoch: int):
        self._tf = tf
        self._attempt = reporting.current()
        self._epochs, self._steps, self._workers = epochs, steps_per_epoch, cluster.workers
        directory = self._attempt.tensorboard if cluster.is_chief else None
        self._writer = tf.summary.create_file_writer(str(directory)) if directory else None

    def record(self, epoch: int, global_step: int, values: dict[str, float]) -> None:
        told = dict(values)
        if "examples_per_second" in told:
            # Each rank tells its own share: readers add the ranks up.
            told["examples_per_second"] /= self._workers
        self._attempt.metrics(step=global_step, epoch=epoch + 1, **told)
        self.progress(global_step)
        if self._writer is not None:
            with self._writer.as_default(step=global_step):
                for name, value in values.items():
                    self._tf.summary.scalar(name, value)

    def progress(self, global_step: int, doing: str = "") -> None:
        self._attempt.progress(global_step, self._epochs * self._steps, doing)

    def say(self, line: str) -> None:
        """A line of the step's log."""
        print(line, flush=True)  # noqa: T201 - standard output is the log

    def event(self, message: str, **facts: Any) -> None:
        """Something worth reading later in the run's story."""
        self._attempt.report("event", {"message": message, **facts})

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
