"""The training loop: one process, or the ranks of a gang by synchronous all-reduce."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np

from argosy.crash_points import pass_crash_point
from argosy.data.batches import GlobalBatches
from argosy.data.loading import BatchLoader, Chunk, share
from argosy.data.reader import Columns, DatasetReader
from argosy.errors import Conflict, RunFailed
from argosy.train.checkpoints import Checkpoints, EpochRecord, Progress
from argosy.train.cluster import Cluster
from argosy.train.metrics import Telemetry, Window
from argosy.train.result import TrainingResult
from argosy.train.settings import Settings
from argosy.train.state import TrainingState
from argosy.train.steps import Loss, build_evaluation, build_training

_EVALUATION_ROWS = 500


class Training:
    """One rank's training of one model, from where it was left."""

    def __init__(
        self,
        tf: Any,
        cluster: Cluster,
        model: Any,
        optimizer: Any,
        loss: Loss,
        reader: DatasetReader,
        settings: Settings,
        checkpoints: Checkpoints | None,
    ):
        self._cluster, self._settings, self._reader, self._model = cluster, settings, reader, model
        self._checkpoints = checkpoints if cluster.is_chief else None
        self._state = TrainingState(model, optimizer, cluster)
        self._train_steps = build_training(tf, cluster, model, optimizer, loss)
        self._evaluate_block = build_evaluation(tf, model, loss)
        split = reader.split("train")
        self._validation = reader.split("validation")
        self._batches = GlobalBatches(split.rows, settings.global_batch_size, settings.seed)
        intervals = {
            settings.report_every_steps,
            settings.checkpoint_every_steps or settings.report_every_steps,
        }
        self._loader = BatchLoader(
            split, self._batches, self._prepare,
            rank=cluster.rank, workers=cluster.workers, intervals=sorted(intervals),
        )  # fmt: skip
        self._telemetry = Telemetry(tf, cluster, settings.epochs, self._batches.steps)
        self._window = Window()
        self._progress = Progress()
        self._saved_at = time.monotonic()
        self._lap_started = time.monotonic()
        self._warm = False

    def run(self) -> TrainingResult:
        resumed = self._restore()
        while self._progress.epoch < self._settings.epochs:
            self._run_epoch()
        self._telemetry.close()
        return self._result(resumed)

    def _run_epoch(self) -> None:
        epoch = self._progress.epoch
        for chunk in self._loader.chunks(epoch, self._progress.step):
            self._run_chunk(chunk)
        self._telemetry.progress(self._global_step, "validating")
        validation_loss, validation_accuracy = self._evaluate()
        steps, before = self._batches.steps, self._progress
        seconds = before.seconds + self._lap()
        record = EpochRecord(
            epoch + 1,
            before.epoch_loss / steps,
            before.epoch_accuracy / steps,
            validation_loss,
            validation_accuracy,
            seconds,
        )
        self._progress = Progress(
            epoch=epoch + 1,
            seconds=seconds,
            timed_examples=before.timed_examples,
            timed_seconds=before.timed_seconds,
            history=(*before.history, record),
        )
        if self._cluster.is_chief:
            values = {"validation_loss": validation_loss, "validation_accuracy": validation_accuracy}
            self._telemetry.record(epoch, (epoch + 1) * steps, values)
            self._telemetry.say(_line(record, self._settings.epochs))
            self._telemetry.flush()
        # Machines of different kinds round differently: equal again before anyone saves.
        self._progress = self._state.follow_chief(self._progress)
        self._save()

    def _run_chunk(self, chunk: Chunk[tuple[Any, Any]]) -> None:
        started = time.perf_counter()
        results = self._train_steps(*chunk.values, chunk.weights).numpy()
        seconds = time.perf_counter() - started
        self._require_finite(results, chunk)
        before = self._progress
        self._progress = msgspec.structs.replace(
            before,
            step=chunk.end_step,
            epoch_loss=before.epoch_loss + float(results[:, 0].sum()),
            epoch_accuracy=before.epoch_accuracy + float(results[:, 1].sum()),
            seconds=before.seconds + self._lap(),
            # The first call of a process traces the graph: its time says nothing of the speed.
            timed_examples=before.timed_examples + chunk.examples * self._warm,
            timed_seconds=before.timed_seconds + seconds * self._warm,
        )
        self._warm = True
        self._window.add(results, chunk.examples, seconds)
        if chunk.end_step % self._settings.report_every_steps == 0 or chunk.end_step == self._batches.steps:
            self._telemetry.record(chunk.epoch, self._global_step, self._window.take())
        pass_crash_point("train-steps-done")
        if self._is_checkpoint_due():
            self._save()

    def _evaluate(self) -> tuple[float, float]:
        """Mean loss and accuracy over the whole validation split: every row once, whatever the ranks."""
        start, stop = share(self._validation.rows, self._cluster.rank, self._cluster.workers)
        sums = np.zeros(2)
        for first in range(start, stop, _EVALUATION_ROWS):
            values = self._prepare(self._validation.read(first, min(first + _EVALUATION_ROWS, stop)))
            sums += self._evaluate_block(*values).numpy()
        total = self._cluster.sum_arrays([sums])[0] / self._validation.rows
        return float(total[0]), float(total[1])

    def _prepare(self, columns: Columns) -> tuple[Any, Any]:
        images = self._settings.preprocessing.from_arrays(columns[self._settings.features])
        return images, columns[self._settings.labels].astype(np.int32)

    @property
    def _global_step(self) -> int:
        return self._progress.epoch * self._batches.steps + self._progress.step

    def _lap(self) -> float:
        """Seconds since the last call."""
        now = time.monotonic()
        before, self._lap_started = self._lap_started, now
        return now - before

    def _is_checkpoint_due(self) -> bool:
        every = self._settings.checkpoint_every_steps
        if every is not None and self._progress.step % every == 0:
            return True
        return time.monotonic() - self._saved_at >= self._settings.checkpoint_every_seconds

    def _save(self) -> None:
        if self._checkpoints is None:
            return
        if (bad := self._state.first_bad_variable()) is not None:
            raise self._diverged(f"the variable {bad} is", self._progress.epoch, self._progress.step - 1)
        self._checkpoints.save(self._global_step, self._progress, self._state.read(), self._identity())
        self._saved_at = time.monotonic()

    def _restore(self) -> tuple[int, int] | None:
        found = self._checkpoints.latest() if self._checkpoints else None
        if found is not None:
            record, arrays = found
            self._require_same_training(record.identity)
            self._state.write(arrays)
            self._progress = record.progress
        self._progress = self._state.follow_chief(self._progress)
        position = (self._progress.epoch, self._progress.step)
        if position == (0, 0):
            return None
        if self._cluster.is_chief:
            message = f"resumed at epoch {position[0] + 1}, step {position[1]}"
            self._telemetry.say(message)
            self._telemetry.event(message, epoch=position[0], step=position[1])
        return position

    def _identity(self) -> dict[str, Any]:
        return {
            "seed": self._settings.seed,
            "global_batch_size": self._settings.global_batch_size,
            "rows": self._batches.rows,
            "dataset": self._reader.manifest.fingerprint,
            "variables": self._state.shapes,
        }

    def _require_same_training(self, found: dict[str, Any]) -> None:
        expected = self._identity()
        different = [name for name in expected if found.get(name) != expected[name]]
        if different and self._checkpoints:
            raise Conflict(
                f"{self._checkpoints.directory} holds checkpoints of another training: "
                f"{', '.join(different)} differ",
                hint="give each training a checkpoint folder of its own, or remove this one",
                context={"directory": str(self._checkpoints.directory), "differ": different},
            )

    def _require_finite(self, results: Any, chunk: Chunk[tuple[Any, Any]]) -> None:
        bad = np.flatnonzero(~np.isfinite(results[:, 0]))
        if bad.size:
            raise self._diverged(
                f"the loss is {results[bad[0], 0]}", chunk.epoch, chunk.first_step + int(bad[0])
            )

    def _diverged(self, what: str, epoch: int, step: int) -> RunFailed:
        global_step = epoch * self._batches.steps + step
        return RunFailed(
            f"training diverged: {what} at step {global_step} (epoch {epoch + 1}, step {step} of it)",
            hint="lower the learning rate, clip gradients, or look for broken examples in that batch",
            context={"epoch": epoch, "step": step, "global_step": global_step},
        )

    def _result(self, resumed: tuple[int, int] | None) -> TrainingResult:
        progress = self._progress
        metrics = {"seconds": progress.seconds}
        if progress.history:
            last = progress.history[-1]
            metrics |= {
                "loss": last.loss,
                "accuracy": last.accuracy,
                "validation_loss": last.validation_loss,
                "validation_accuracy": last.validation_accuracy,
            }
        if progress.timed_seconds:
            metrics["examples_per_second"] = progress.timed_examples / progress.timed_seconds
        return TrainingResult(
            model=self._model,
            metrics=metrics,
            history=progress.history,
            dataset=self._reader,
            preprocessing=self._settings.preprocessing,
            features=self._settings.features,
            is_chief=self._cluster.is_chief,
            rank=self._cluster.rank,
            workers=self._cluster.workers,
            steps=self._global_step,
            resumed_from=resumed,
        )


def _line(record: EpochRecord, epochs: int) -> str:
    return (
        f"epoch {record.epoch} of {epochs}: loss {record.loss:.4f}, accuracy {record.accuracy:.4f}, "
        f"validation loss {record.validation_loss:.4f}, accuracy {record.validation_accuracy:.4f}, "
        f"after {record.seconds:.1f} s"
    )
