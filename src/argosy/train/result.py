"""What a training yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from argosy.data.preprocessing import ImagePreprocessing
from argosy.data.reader import DatasetReader
from argosy.train.checkpoints import EpochRecord


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The same on every rank, but for ``history`` and ``metrics``, which the chief alone has whole.

    ``model`` is a Keras model of plain variables, equal on every rank. ``metrics`` holds the last epoch's
    ``loss``, ``accuracy``, ``validation_loss`` and ``validation_accuracy``, ``seconds`` of training over all
    attempts and ``examples_per_second``. ``resumed_from`` is the (epoch, step) this attempt started at, both
    from 0, or None when it started afresh.
    """

    model: Any
    metrics: dict[str, float]
    history: tuple[EpochRecord, ...]
    dataset: DatasetReader
    preprocessing: ImagePreprocessing
    features: str
    is_chief: bool
    rank: int
    workers: int
    steps: int
    resumed_from: tuple[int, int] | None
