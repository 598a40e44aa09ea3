"""The files of a model directory, as exported by ``argosy.train`` or written by an import.

model.onnx              the default signature
signatures/*.onnx       further signatures; argosy.json names the file of each
saved_model/            the SavedModel: beside the above, or what is served in its place
preprocessing.json      how an image becomes the input, where that is known
labels.json             the class names in order, where they are known
argosy.json             name, metrics, and of an import: runtime, reason, source, signatures
"""

from __future__ import annotations

from pathlib import Path

ONNX = "model.onnx"
SIGNATURES = "signatures"
SAVED_MODEL = "saved_model"
SAVED_MODEL_FILE = "saved_model.pb"
PREPROCESSING = "preprocessing.json"
LABELS = "labels.json"

ONNX_RUNTIME, TENSORFLOW = "onnxruntime", "tensorflow"


def saved_model_in(directory: Path) -> Path | None:
    """The folder with ``saved_model.pb``: ``saved_model/`` in the directory, or the directory itself."""
    for folder in (directory / SAVED_MODEL, directory):
        if (folder / SAVED_MODEL_FILE).is_file():
            return folder
    return None
