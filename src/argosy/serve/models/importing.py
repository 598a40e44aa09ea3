"""Models from outside: what a path holds, and the entry of the process that imports it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec

from argosy.errors import InvalidInput


class ModelVersion(msgspec.Struct, frozen=True):
    """``number`` is 0 where the model has no versions."""

    number: int
    path: str
    kind: str
    fingerprint: str


class RefusedVersion(msgspec.Struct, frozen=True):
    """A version that does not count, and why."""

    number: int
    path: str
    reason: str
    changing: bool = False


class ModelSource(msgspec.Struct, frozen=True):
    """``versions`` are those that can be imported, the newest last; there is at least one."""

    path: str
    kind: str
    versions: tuple[ModelVersion, ...]
    refused: tuple[RefusedVersion, ...] = ()


def inspect(path: Path, *, patience_seconds: float = 3.0) -> ModelSource:
    """What kind of model is at ``path``. Light. Raises InvalidInput."""
    if path.suffix == ".onnx" and path.is_file():
        return ModelSource(str(path), "onnx", (_version(0, path, "onnx"),))
    if (path / "model.onnx").is_file():
        return ModelSource(str(path), "argosy", (_version(0, path, "argosy"),))
    numbered = [one for one in path.iterdir() if one.name.isdigit()] if path.is_dir() else []
    numbered.sort(key=lambda one: int(one.name))
    whole = [one for one in numbered if (one / "model.onnx").is_file()]
    if not whole:
        raise InvalidInput(f"{path} holds no model", hint="name a model directory, or an .onnx file")
    bad = [one for one in numbered if one not in whole]
    refused = [RefusedVersion(int(one.name), str(one), "it has no model.onnx") for one in bad]
    versions = tuple(_version(int(one.name), one, "argosy") for one in whole)
    return ModelSource(str(path), "versions", versions, tuple(refused))


def _version(number: int, path: Path, kind: str) -> ModelVersion:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return ModelVersion(number, str(path), kind, repr(states))


def main(payload: dict[str, Any]) -> None:
    """Write the model directory ``destination`` from ``source``. Raises InvalidInput."""
    source, destination = Path(payload["source"]), Path(payload["destination"])
    if payload.get("version"):
        source /= str(payload["version"])
    destination.mkdir(parents=True)
    if source.is_dir():
        shutil.copytree(source, destination, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, destination / "model.onnx")
        (destination / "argosy.json").write_text(json.dumps({"name": payload["name"], "metrics": {}}))
    if payload.get("preprocessing"):
        (destination / "preprocessing.json").write_text(json.dumps(payload["preprocessing"]))
    if payload.get("labels"):
        (destination / "labels.json").write_text(json.dumps(payload["labels"]))
    import onnx

    try:
        onnx.checker.check_model(onnx.load(destination / "model.onnx"))
    except Exception as error:
        raise InvalidInput(f"{source} is not an ONNX model: {error}", hint="export it again") from None
