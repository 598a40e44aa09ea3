"""Keras files as model directories: the SavedModel, and ONNX where it answers alike."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput, InvalidRequest, RunFailed
from argosy.serve.models import converting, layout, made_up, tensorflow_engine, warming
from argosy.serve.models.layout import ONNX_RUNTIME
from argosy.serve.models.model import DEFAULT_SIGNATURE

_SAMPLES = 32
_NO_SPACE = os.strerror(errno.ENOSPC)


def from_keras(
    file: Path, directory: Path, preprocessing: ImagePreprocessing | None, labels: Sequence[str]
) -> converting.Runtime:
    """Write ``saved_model/`` and, where it answers alike, ``model.onnx`` for a ``.keras`` file.

    Raises InvalidInput when Keras can not load it.
    """
    tensorflow_engine.load_tensorflow()
    model = _load_keras(file)
    if preprocessing is not None and _reads_images(model, preprocessing):
        try:
            return _with_preprocessing(model, directory, preprocessing, labels)
        except InvalidRequest:
            raise
        except Exception as error:
            converting.say(f"the form with preprocessing inside is left out: {warming.cause(error)}")
            _clear(directory)
    try:
        model.export(str(directory / layout.SAVED_MODEL), verbose=False)
    except Exception as error:
        if _NO_SPACE in str(error):
            raise OSError(errno.ENOSPC, _NO_SPACE, str(directory)) from None
        raise InvalidInput(
            f"{file} can not be exported: {warming.cause(error)}",
            hint="call the model once on an example before it is saved",
        ) from None
    _check_export(model, directory / layout.SAVED_MODEL)
    return converting.to_onnx(directory / layout.SAVED_MODEL, directory)


def _check_export(model: Any, saved_model: Path) -> None:
    """Raises RunFailed when the SavedModel answers otherwise than the Keras model it was made of."""
    tf = tensorflow_engine.load_tensorflow()
    owner, functions = tensorflow_engine.load_signatures(tf, saved_model)
    function = functions[DEFAULT_SIGNATURE]
    signature = tensorflow_engine.read_signature(DEFAULT_SIGNATURE, function)
    names = [one.name for one in getattr(model, "inputs", None) or ()]
    if set(names) != {spec.name for spec in signature.inputs}:
        return  # A model of nested inputs: which is which can not be told.
    for inputs in made_up.random(signature, rows=3):
        given = [inputs[name] for name in names]
        try:
            answer = model(given if len(given) > 1 else given[0], training=False)
        except Exception:
            continue
        expected = {f"output_{at}": np.asarray(one) for at, one in enumerate(tf.nest.flatten(answer))}
        found = tensorflow_engine.call(tf, function, inputs)
        fault = converting.difference(found, expected) if set(found) == set(expected) else ""
        if fault:
            raise RunFailed(
                f"the SavedModel answers otherwise than the Keras model: {fault}",
                hint="use layers that answer alike when they are exported",
            )
        break
    del owner


def _load_keras(file: Path) -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    try:
        return keras.saving.load_model(file, compile=False)
    except Exception as error:
        raise InvalidInput(
            f"{file} is not a model Keras {keras.__version__} can load: {_keras_cause(error)}",
            hint="save it again with model.save; layers of your own must be part of a SavedModel "
            "(model.export) or ONNX instead",
        ) from None


def _keras_cause(error: Exception) -> str:
    """The innermost of the errors that Keras tells in one, without the configuration it was met in."""
    innermost = str(error).rpartition("Exception encountered: ")[2]
    text = innermost.partition(" Full object config: ")[0]
    return warming.cause(Exception(text) if text else error)


def _reads_images(model: Any, preprocessing: ImagePreprocessing) -> bool:
    inputs, outputs = getattr(model, "inputs", None) or (), getattr(model, "outputs", None) or ()
    if len(inputs) != 1 or len(outputs) != 1:
        return False
    shape = tuple(model.inputs[0].shape)
    is_images = len(shape) == 4 and all(
        size in (None, wanted) for size, wanted in zip(shape[1:], preprocessing.shape, strict=True)
    )
    return is_images and len(model.outputs[0].shape) == 2 and model.inputs[0].dtype == "float32"


def _with_preprocessing(
    model: Any, directory: Path, preprocessing: ImagePreprocessing, labels: Sequence[str]
) -> converting.Runtime:
    from argosy.train.exporting import export_model

    height, width, channels = preprocessing.shape
    shape = (_SAMPLES, height, width) if channels == 1 else (_SAMPLES, *preprocessing.shape)
    samples = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    export_model(model, preprocessing, labels, directory, samples=samples)
    return converting.Runtime(ONNX_RUNTIME)


def _clear(directory: Path) -> None:
    converting.remove_onnx(directory)
    shutil.rmtree(directory / layout.SAVED_MODEL, ignore_errors=True)
