"""A model directory, loaded by the library that runs it best."""

from __future__ import annotations

from pathlib import Path

from argosy.artifacts.handles import read_card
from argosy.errors import InvalidInput
from argosy.serve.models import companions, layout
from argosy.serve.models.model import DEFAULT_SIGNATURE, LoadedModel
from argosy.serve.models.onnx_engine import OnnxModel


def load(directory: Path) -> LoadedModel:
    """The model in ``directory``, not warmed up yet.

    ``model.onnx`` is run by ONNX Runtime, with ``signatures/NAME.onnx`` where there are more. Where there is
    none, or ``argosy.json`` says ``"runtime": "tensorflow"``, TensorFlow runs the SavedModel in
    ``saved_model/`` or in the directory itself. Raises InvalidInput naming the file at fault.
    """
    if not directory.is_dir():
        fault = "is not a folder" if directory.exists() else "does not exist"
        raise InvalidInput(f"the model directory {directory} {fault}", hint="import the model again")
    preprocessing = companions.find_preprocessing(directory)
    labels = companions.find_labels(directory)
    files = onnx_files(directory)
    wanted = str(read_card(directory).get("runtime", ""))
    saved_model = layout.saved_model_in(directory)
    if files and (wanted != "tensorflow" or saved_model is None):
        return OnnxModel(files, preprocessing, labels)
    if saved_model is None:
        raise InvalidInput(
            f"{directory} holds neither {layout.ONNX} nor a SavedModel", hint="import the model again"
        )
    from argosy.serve.models.tensorflow_engine import TensorFlowModel

    return TensorFlowModel(saved_model, preprocessing, labels)


def onnx_files(directory: Path) -> dict[str, Path]:
    """The ONNX files of a model directory by signature; none without ``model.onnx``."""
    main = directory / layout.ONNX
    if not main.is_file():
        return {}
    others = sorted((directory / layout.SIGNATURES).glob("*.onnx"))
    return {DEFAULT_SIGNATURE: main} | {file.stem: file for file in others}
