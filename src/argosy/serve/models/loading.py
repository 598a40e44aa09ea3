"""From a directory to a model that can be run."""

from __future__ import annotations

from pathlib import Path

from argosy.serve.models.model import LoadedModel
from argosy.serve.models.onnx import OnnxModel


def load(directory: Path) -> LoadedModel:
    """The model of a directory. Raises InvalidInput naming the file at fault."""
    return OnnxModel.load(directory)
