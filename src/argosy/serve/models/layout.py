"""The files of a model directory, as exported by ``argosy.train`` or written by an import.

model.onnx              the default signature
signatures/NAME.onnx    further signatures, where there are any
saved_model/            the SavedModel: beside the above, or what is served in its place
preprocessing.json      how an image becomes the input, where that is known
labels.json             the class names in order, where they are known
argosy.json             name, metrics, and of an import: runtime, reason, source
"""

from __future__ import annotations

from pathlib import Path

ONNX = "model.onnx"
SIGNATURES = "signatures"
SAVED_MODEL = "saved_model"
SAVED_MODEL_FILE = "saved_model.pb"
PREPROCESSING = "preprocessing.json"
LABELS = "labels.json"


def saved_model_in(directory: Path) -> Path | None:
    """The folder with ``saved_model.pb``: ``saved_model/`` in the directory, or the directory itself."""
    for folder in (directory / SAVED_MODEL, directory):
        if (folder / SAVED_MODEL_FILE).is_file():
            return folder
    return None
