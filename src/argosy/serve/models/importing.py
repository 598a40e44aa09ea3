"""What a user hands in becomes an immutable model directory.

:func:`inspect` is light and for the control plane. :func:`main` is the entry of a process of its own: it may
load TensorFlow.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from argosy.artifacts.handles import CARD, read_card
from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import ArgosyError, Conflict, InvalidInput, Unavailable
from argosy.serve.models import companions, converting, keras_files, layout, onnx_data
from argosy.serve.models.converting import Runtime
from argosy.serve.models.loading import load
from argosy.serve.models.sources import (
    ModelKind,
    ModelSource,
    ModelVersion,
    RefusedVersion,
    fingerprint_of,
    inspect,
)

__all__ = [
    "ImportOrder",
    "ModelKind",
    "ModelSource",
    "ModelVersion",
    "RefusedVersion",
    "fingerprint_of",
    "import_model",
    "inspect",
    "main",
]


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ImportOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``version`` 0 is the newest. ``preprocessing`` and ``labels`` are the user's, before those found."""

    source: str
    destination: str
    name: str
    version: int = 0
    preprocessing: dict[str, Any] | None = None
    labels: list[Any] | dict[str, Any] | None = None


def main(payload: dict[str, Any]) -> None:
    """Entry of the process. Raises ArgosyError that says in one sentence why there is no model."""
    import_model(msgspec.convert(payload, ImportOrder))


def import_model(order: ImportOrder) -> None:
    """Write the model directory under a temporary name, ask it once, and rename it to ``destination``.

    A destination that is there already is left as it is. Raises ArgosyError.
    """
    destination = Path(order.destination)
    if destination.exists():
        converting.say(f"{order.name} is there already")
        return
    version = inspect(Path(order.source)).version(order.version)
    scratch = destination.with_name(f".{destination.name}.{os.getpid()}")
    _remove_leftovers(destination)
    try:
        scratch.mkdir(parents=True)
        _write(order, version, scratch)
        _prove(scratch)
        _check_unchanged(version)
        scratch.rename(destination)
    except OSError as error:
        raise _storage_fault(error, scratch, order) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    converting.say(f"{order.name} is imported")


def _write(order: ImportOrder, version: ModelVersion, directory: Path) -> None:
    path = Path(version.path)
    converting.say(f"reading {path} ({version.kind})")
    preprocessing = _preprocessing(order) or companions.find_preprocessing(path)
    labels = companions.label_names(order.labels) if order.labels else companions.find_labels(path)
    runtime = _convert(version.kind, path, directory, preprocessing, labels)
    if preprocessing is not None:
        (directory / layout.PREPROCESSING).write_text(preprocessing.to_json())
    if labels:
        (directory / layout.LABELS).write_text(json.dumps(list(labels)))
    card: dict[str, Any] = read_card(path) if version.kind == ModelKind.ARGOSY else {}
    card = {"metrics": {}} | card | {"name": order.name, "runtime": runtime.name, "reason": runtime.reason}
    if runtime.signatures:
        card["signatures"] = dict(runtime.signatures)
    card["source"] = {"kind": str(version.kind), "version": version.number}
    (directory / CARD).write_text(json.dumps(card))


def _convert(
    kind: ModelKind,
    path: Path,
    directory: Path,
    preprocessing: ImagePreprocessing | None,
    labels: tuple[str, ...],
) -> Runtime:
    if kind == ModelKind.KERAS:
        return keras_files.from_keras(path, directory, preprocessing, labels)
    if kind == ModelKind.SAVED_MODEL:
        return converting.from_saved_model(path, directory)
    if kind == ModelKind.ONNX:
        onnx_data.copy(path, directory / layout.ONNX)
        return Runtime(layout.ONNX_RUNTIME)
    return _copy_directory(path, directory)


def _copy_directory(path: Path, directory: Path) -> Runtime:
    """A model directory: what belongs to the model, and nothing else that lies in the folder."""
    for folder in (layout.SAVED_MODEL, layout.SIGNATURES):
        if (path / folder).is_dir():
            shutil.copytree(path / folder, directory / folder)
    if not (path / layout.ONNX).is_file():
        reason = str(read_card(path).get("reason", "")) or f"there is no {layout.ONNX}"
        return Runtime(layout.TENSORFLOW, reason)
    onnx_data.copy(path / layout.ONNX, directory / layout.ONNX)
    return Runtime(layout.ONNX_RUNTIME)


def _preprocessing(order: ImportOrder) -> ImagePreprocessing | None:
    if order.preprocessing is None:
        return None
    return ImagePreprocessing.from_json(json.dumps({"kind": "image"} | order.preprocessing))


def _prove(directory: Path) -> None:
    """Raises InvalidInput when what was written gives no answer."""
    converting.say("asking the model for a first answer")
    load(directory).warm_up()


def _check_unchanged(version: ModelVersion) -> None:
    folder = Path(version.path)
    folder = folder.parent if version.number and folder.is_file() else folder
    if fingerprint_of(folder) != version.fingerprint:
        raise Conflict(
            f"{folder} changed while it was imported", hint="wait until it is copied, then try again"
        )


def _storage_fault(error: OSError, scratch: Path, order: ImportOrder) -> ArgosyError:
    told = str(error)
    if error.errno in _FULL or any(os.strerror(number) in told for number in _FULL):
        return Unavailable(
            f"the disk of {scratch.parent} is full: {order.name} is not imported",
            hint="free some space, then try again",
        )
    at, why = Path(str(error.filename or scratch)), error.strerror or told
    if isinstance(error, shutil.Error) and error.args and error.args[0]:
        # Copying a folder goes on after a fault, and tells all of them at its end.
        source, _, why = error.args[0][0]
        at = Path(source)
    if at.is_relative_to(scratch.parent):
        return Unavailable(f"{at} can not be written: {why}", hint="check the disk")
    return InvalidInput(f"{at} can not be read: {why}", hint="check its permissions")


def _remove_leftovers(destination: Path) -> None:
    """What imports left that were killed."""
    for leftover in destination.parent.glob(f".{destination.name}.*"):
        owner = leftover.suffix.removeprefix(".")
        if owner.isdigit() and not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                shutil.rmtree(leftover)
