"""Whether a model's files are whole, as far as that shows without loading it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from argosy.serve.models import layout, protobuf

_SHARD = re.compile(r"variables\.data-(\d{5})-of-(\d{5})")
_META_GRAPH, _SAVER = 2, 3
_KERAS_MEMBERS = ("config.json", "model.weights.h5")


def fault_of(kind: str, path: Path) -> str:
    """Why the model at ``path`` can not be whole; empty when nothing speaks against it. Raises OSError."""
    if kind == "onnx":
        return _named(path, protobuf.fault_of(path))
    if kind == "keras":
        return _keras_fault(path)
    if kind == "saved_model":
        return saved_model_fault(path)
    if (path / layout.ONNX).is_file():
        return _named(path / layout.ONNX, protobuf.fault_of(path / layout.ONNX))
    return saved_model_fault(path / layout.SAVED_MODEL)


def saved_model_fault(folder: Path) -> str:
    """Why the SavedModel in ``folder`` can not be whole: its graph, its index or one of its shards."""
    file = folder / layout.SAVED_MODEL_FILE
    if not file.is_file():
        return f"{layout.SAVED_MODEL_FILE} is not there"
    fault = protobuf.fault_of(file)
    if fault:
        return _named(file, fault)
    if not (folder / "variables" / "variables.index").is_file():
        return "variables/variables.index is not there" if _has_variables(file) else ""
    shards = {match[1]: int(match[2]) for match in map(_shard, (folder / "variables").iterdir()) if match}
    expected = max(shards.values(), default=1)
    if len(shards) < expected:
        return f"{expected - len(shards)} of its {expected} files variables/variables.data-* are not there"
    return ""


def _shard(file: Path) -> re.Match[str] | None:
    return _SHARD.fullmatch(file.name)


def _has_variables(file: Path) -> bool:
    # A graph without variables has nothing that restores them.
    whole = memoryview(file.read_bytes())
    try:
        graphs = list(protobuf.fields(whole, _META_GRAPH))
        return any(True for graph in graphs for _ in protobuf.fields(graph, _SAVER))
    except ValueError:
        return True


def _keras_fault(file: Path) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile as error:
        return f"{file.name} is not a whole Keras archive ({error})"
    missing = [name for name in _KERAS_MEMBERS if name not in names]
    return f"{file.name} is no Keras model: it holds no {missing[0]}" if missing else ""


def _named(file: Path, fault: str) -> str:
    return f"{file.name} is damaged: {fault}" if fault else ""
