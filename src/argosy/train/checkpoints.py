"""Checkpoints on disk: visible whole or not at all, verified when read, the last two kept.

step-0000001250-00002/            renamed into place when everything in it is written
    arrays.npz            every variable
    checkpoint.json       position, history, and the sha256 of arrays.npz
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from argosy.crash_points import pass_crash_point
from argosy.errors import Unavailable

KEPT = 2
_ARRAYS, _RECORD = "arrays.npz", "checkpoint.json"
_PREFIX, _PARTIAL = "step-", "partial-"


class EpochRecord(msgspec.Struct, frozen=True):
    """What was measured over one epoch, numbered from 1."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


class Progress(msgspec.Struct, frozen=True):
    """Where training stands: the next step to take, and what was measured so far.

    ``epoch_loss`` and ``epoch_accuracy`` are sums over the steps of the unfinished epoch. ``seconds`` is time
    spent in all attempts; ``timed_examples`` took ``timed_seconds``, start-up left out.
    """

    epoch: int = 0
    step: int = 0
    epoch_loss: float = 0.0
    epoch_accuracy: float = 0.0
    seconds: float = 0.0
    timed_examples: int = 0
    timed_seconds: float = 0.0
    history: tuple[EpochRecord, ...] = ()


class Record(msgspec.Struct, frozen=True):
    """``identity`` says which training this is of; another one's checkpoint is never taken."""

    identity: dict[str, Any]
    global_step: int
    progress: Progress
    sha256: str


class Checkpoints:
    """One training's checkpoint folder. Only the chief touches it."""

    def __init__(self, directory: Path):
        self.directory = directory

    def save(
        self,
        global_step: int,
        progress: Progress,
        arrays: dict[str, npt.NDArray[Any]],
        identity: dict[str, Any],
    ) -> None:
        """Keep this state and the one before it. Raises Unavailable when the disk is full or read-only."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.directory))
            np.savez(partial / _ARRAYS, **arrays)  # type: ignore[arg-type]
            pass_crash_point("checkpoint-arrays-written")
            record = Record(identity, global_step, progress, _flush(partial / _ARRAYS))
            (partial / _RECORD).write_bytes(msgspec.json.encode(record))
            _flush(partial / _RECORD)
            pass_crash_point("checkpoint-before-rename")
            self._publish(partial, self.directory / f"{_PREFIX}{global_step:010d}-{progress.epoch:05d}")
        except OSError as error:
            raise Unavailable(
                f"a checkpoint can not be written to {self.directory}: {error.strerror}",
                hint="free space on the disk, or make the folder writable",
                context={"directory": str(self.directory), "step": global_step},
            ) from None
        self._prune()

    def latest(self) -> tuple[Record, dict[str, npt.NDArray[Any]]] | None:
        """The newest checkpoint that is whole; a torn one is passed over for the one before it."""
        for path in reversed(self._all()):
            if (found := _read(path)) is not None:
                return found
        return None

    def _publish(self, partial: Path, target: Path) -> None:
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _prune(self) -> None:
        for path in (*self._all()[:-KEPT], *self.directory.glob(f"{_PARTIAL}*")):
            shutil.rmtree(path, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted(self.directory.glob(f"{_PREFIX}*")) if self.directory.is_dir() else []


def _read(path: Path) -> tuple[Record, dict[str, npt.NDArray[Any]]] | None:
    try:
        record = msgspec.json.decode((path / _RECORD).read_bytes(), type=Record)
        with (path / _ARRAYS).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != record.sha256:
                return None
        with np.load(path / _ARRAYS, allow_pickle=False) as arrays:
            return record, {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, msgspec.MsgspecError, zipfile.BadZipFile):
        return None


def _flush(path: Path) -> str:
    """Make the file durable; its sha256."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        os.fsync(stream.fileno())
    return digest
