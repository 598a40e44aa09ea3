"""Models from outside: what a path holds, and the entry of the process that imports it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argosy.errors import InvalidInput, NotFound


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a path holds; ``versions`` are the numbers of the complete ones in a folder of versions."""

    kind: str
    versions: tuple[int, ...] = ()


def inspect(path: Path) -> ModelSource:
    """What kind of model is at ``path``. Light. Raises NotFound, InvalidInput."""
    if not path.exists():
        raise NotFound(f"there is no {path}", hint="name a model directory, or a .onnx or .keras file")
    if path.suffix == ".onnx":
        return ModelSource("onnx")
    if (path / "model.onnx").is_file():
        return ModelSource("argosy")
    versions = tuple(sorted(int(one.name) for one in _numbered(path) if (one / "model.onnx").is_file()))
    if versions:
        return ModelSource("versions", versions)
    raise InvalidInput(f"{path} holds no model", hint="name a model directory, or a .onnx or .keras file")


def _numbered(path: Path) -> list[Path]:
    return [one for one in path.iterdir() if one.name.isdigit()] if path.is_dir() else []


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
