"""What lies beside a model: how images become its input, and what its classes are called.

Labels are looked for in this order; the first that is there counts:
  1. ``labels.json`` (a list of names, or an object of names by index) in the model's folder
  2. ``labels.txt`` (a name a line) in the folder, in ``assets.extra/`` or in ``assets/``
  3. for a file ``NAME.onnx`` or ``NAME.keras``: ``NAME.labels.json`` or ``NAME.labels.txt`` beside it, and
     where it is the only model in its folder ``labels.json`` or ``labels.txt``
Preprocessing is ``preprocessing.json`` in the folder, or beside a file by the same rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidInput
from argosy.serve.models.model import Signature, TensorSpec

_FOLDERS = ("", "assets.extra", "assets")
_MODEL_FILES = (".onnx", ".keras")


def find_labels(model: Path) -> tuple[str, ...]:
    """The class names of a model folder or file, in order; none where there are none. Raises InvalidInput."""
    for file in _label_files(model):
        if file.is_file():
            return read_labels(file)
    return ()


def read_labels(file: Path) -> tuple[str, ...]:
    """The names in a .json or .txt file. Raises InvalidInput that says what is wrong with it."""
    text = _text(file)
    if file.suffix == ".txt":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        return label_names(json.loads(text))
    except ValueError as error:
        raise InvalidInput(f"{file} is not JSON: {error}", hint='write ["first class", ...]') from None
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.message}", hint=error.hint) from None


def label_names(value: Any) -> tuple[str, ...]:
    """Names from a list, or from an object whose keys are 0, 1, 2, ... Raises InvalidInput."""
    if isinstance(value, dict):
        expected = [str(index) for index in range(len(value))]
        if set(value) == set(expected):
            value = [value[index] for index in expected]
    if not isinstance(value, list) or not all(isinstance(name, str | int | float) for name in value):
        raise InvalidInput(
            "the labels are not a list of names", hint='write ["first class", "second class", ...]'
        )
    return tuple(str(name) for name in value)


def find_preprocessing(model: Path) -> ImagePreprocessing | None:
    """How images become the input of a model folder or file, where that is known. Raises InvalidInput."""
    files = [model / "preprocessing.json"] if model.is_dir() else _beside(model, ["preprocessing.json"])
    for file in filter(Path.is_file, files):
        try:
            return ImagePreprocessing.from_json(_text(file))
        except InvalidInput as error:
            raise InvalidInput(f"{file}: {error.message}", hint=error.hint) from None
    return None


def check_labels(labels: tuple[str, ...], signature: Signature) -> None:
    """Raises InvalidInput when no output of the signature has as many numbers a row as there are labels."""
    if not labels:
        return
    sizes = [spec.shape[-1] for spec in signature.outputs if len(spec.shape) > 1]
    unknown = any(size == -1 for size in sizes) or any(len(spec.shape) < 2 for spec in signature.outputs)
    if len(labels) not in sizes and not unknown:
        found = ", ".join(map(str, sizes)) or "none"
        raise InvalidInput(
            f"there are {len(labels)} labels and the model's outputs have {found} numbers for each instance",
            hint="give one label for each class, in the order of the outputs",
        )


def arrangement(
    preprocessing: ImagePreprocessing | None, signature: Signature | None
) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """What turns images [n, h, w, c] into what the model reads; None where it reads them as they are.

    That may be grey images without their channel, or channels first. An array of another shape is left as
    it is: it was sent for the model. Raises InvalidInput when the preprocessing fits in no way.
    """
    if preprocessing is None or signature is None:
        return None
    spec = _only_input(signature)
    height, width, channels = full = preprocessing.shape
    shape = spec.shape[1:]
    if spec.datatype == "FP32" and _admits(shape, full):
        return None
    if spec.datatype == "FP32" and channels == 1 and _admits(shape, (height, width)):
        return lambda value: value[..., 0] if value.shape[1:] == full else value
    if spec.datatype == "FP32" and _admits(shape, (channels, height, width)):
        return lambda value: (
            np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if value.shape[1:] == full else value
        )
    raise InvalidInput(
        f"the preprocessing makes float32 [n, {', '.join(map(str, full))}] and the model's input "
        f"{spec.name!r} is {spec.datatype} {list(spec.shape)}",
        hint="give the height, width and channels the model was trained with",
    )


def _only_input(signature: Signature) -> TensorSpec:
    if len(signature.inputs) != 1:
        names = ", ".join(spec.name for spec in signature.inputs) or "none"
        raise InvalidInput(
            f"the preprocessing makes one input of images; the model has {len(signature.inputs)} ({names})",
            hint="serve the model without preprocessing and send its inputs as tensors",
        )
    return signature.inputs[0]


def _admits(shape: tuple[int, ...], found: tuple[int, ...]) -> bool:
    return len(shape) == len(found) and all(
        size in (-1, other) for size, other in zip(shape, found, strict=True)
    )


def _label_files(model: Path) -> list[Path]:
    if model.is_dir():
        in_folders = [model / folder / "labels.txt" for folder in _FOLDERS]
        return [model / "labels.json", *in_folders]
    return _beside(model, ["labels.json", "labels.txt"])


def _beside(file: Path, names: list[str]) -> list[Path]:
    """Where ``names`` of a single model file may lie: under its own name first."""
    own = [file.with_name(f"{file.stem}.{name}") for name in names]
    models = [one for one in file.parent.iterdir() if one.suffix.lower() in _MODEL_FILES]
    return own + ([file.with_name(name) for name in names] if len(models) == 1 else [])


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{file} can not be read: {error.strerror}", hint="check its permissions"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8 text", hint="save it as UTF-8") from None
