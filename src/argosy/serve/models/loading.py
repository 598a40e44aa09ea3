"""A model directory, loaded by the library that runs it best."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from argosy.artifacts.handles import CARD, read_card
from argosy.errors import InvalidInput
from argosy.serve.models import companions, layout
from argosy.serve.models.layout import ONNX_RUNTIME, TENSORFLOW
from argosy.serve.models.model import DEFAULT_SIGNATURE, LoadedModel
from argosy.serve.models.onnx_engine import OnnxModel


def load(directory: Path) -> LoadedModel:
    """The model in ``directory``, not warmed up yet.

    ``model.onnx`` is run by ONNX Runtime, with further signatures where ``argosy.json`` names their files.
    Where it is not there, or ``argosy.json`` says ``"runtime": "tensorflow"``, TensorFlow runs the SavedModel
    in ``saved_model/`` or in the directory itself. Raises InvalidInput naming the file at fault.
    """
    if not directory.is_dir():
        fault = "is not a folder" if directory.exists() else "does not exist"
        raise InvalidInput(f"the model directory {directory} {fault}", hint="import the model again")
    runtime = runtime_of(directory)
    preprocessing = companions.find_preprocessing(directory)
    labels = companions.find_labels(directory)
    if runtime == ONNX_RUNTIME:
        return OnnxModel(_onnx_files(directory), preprocessing, labels)
    saved_model = layout.saved_model_in(directory)
    assert saved_model is not None
    from argosy.serve.models.tensorflow_engine import TensorFlowModel

    return TensorFlowModel(saved_model, preprocessing, labels)


def runtime_of(directory: Path) -> str:
    """``onnxruntime`` or ``tensorflow``: what :func:`load` imports. Raises InvalidInput without a model."""
    has_onnx = (directory / layout.ONNX).is_file()
    has_saved_model = layout.saved_model_in(directory) is not None
    if not has_onnx and not has_saved_model:
        raise InvalidInput(
            f"{directory} holds neither {layout.ONNX} nor a SavedModel", hint="import the model again"
        )
    wants_tensorflow = read_card(directory).get("runtime") == TENSORFLOW
    return TENSORFLOW if has_saved_model and (wants_tensorflow or not has_onnx) else ONNX_RUNTIME


def _onnx_files(directory: Path) -> dict[str, Path]:
    """The ONNX files of a model directory by signature. Raises InvalidInput for one that lies elsewhere."""
    named = read_card(directory).get("signatures", {})
    if not isinstance(named, dict):
        raise InvalidInput(f"'signatures' in {directory / CARD} is not an object of files")
    files = {DEFAULT_SIGNATURE: directory / layout.ONNX}
    for name, file in named.items():
        path = PurePosixPath(str(file))
        if path.is_absolute() or ".." in path.parts:
            raise InvalidInput(f"signature {name!r} in {directory / CARD} lies outside: {file}")
        files[str(name)] = directory / path
    return files
