"""SavedModels to ONNX where that answers alike; TensorFlow serves the others."""

from __future__ import annotations

import filecmp
import logging
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from argosy import reporting
from argosy.errors import ArgosyError
from argosy.serve.models import layout, made_up, onnx_names, tensorflow_engine, warming
from argosy.serve.models.layout import ONNX_RUNTIME, TENSORFLOW
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature
from argosy.serve.models.onnx_engine import OnnxModel

_OPSET = 17
_ROWS = (1, 3)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is to run a model, and why not ONNX Runtime where it is another; the ONNX files by signature."""

    name: str
    reason: str = ""
    signatures: Mapping[str, str] = field(default_factory=dict)


def from_saved_model(folder: Path, directory: Path) -> Runtime:
    """Copy a SavedModel to ``saved_model/`` and convert it where it answers alike.

    Raises InvalidInput when TensorFlow can not load it.
    """
    shutil.copytree(folder, directory / layout.SAVED_MODEL, dirs_exist_ok=True)
    return to_onnx(directory / layout.SAVED_MODEL, directory)


def to_onnx(saved_model: Path, directory: Path) -> Runtime:
    """Write ``model.onnx`` and ``signatures/`` for all signatures of a SavedModel, or none of them."""
    tf = tensorflow_engine.load_tensorflow()
    owner, functions = tensorflow_engine.load_signatures(tf, saved_model)
    signatures = {name: tensorflow_engine.read_signature(name, one) for name, one in functions.items()}
    if DEFAULT_SIGNATURE not in signatures:
        names = ", ".join(sorted(signatures))
        return Runtime(TENSORFLOW, f"no signature is {DEFAULT_SIGNATURE!r} among {names}")
    files: dict[str, str] = {}
    for name in sorted(functions, key=lambda name: (name != DEFAULT_SIGNATURE, name)):
        say(f"converting signature {name!r} to ONNX")
        target = _target(directory, name)
        fault = _convert(tf, functions[name], signatures[name], target)
        if fault:
            remove_onnx(directory)
            return Runtime(TENSORFLOW, f"signature {name!r} can not become ONNX: {fault}")
        files[name] = _kept_once(directory, target, files)
    del owner
    return Runtime(ONNX_RUNTIME, signatures=files)


def _kept_once(directory: Path, target: Path, files: Mapping[str, str]) -> str:
    """The file's name in the directory, or that of one with the same content: Keras exports each model
    under two signatures."""
    for other in files.values():
        if filecmp.cmp(directory / other, target, shallow=False):
            target.unlink()
            return other
    return target.relative_to(directory).as_posix()


def _convert(tf: Any, function: Any, signature: Signature, target: Path) -> str:
    """Why the signature can not be ONNX; empty once it lies in ``target``."""
    try:
        _write_onnx(tf, function, signature, target)
        model = OnnxModel({DEFAULT_SIGNATURE: target})
    except ArgosyError as error:
        return error.message.partition(" can load: ")[2] or error.message
    except OSError:
        raise
    except Exception as error:
        return warming.cause(error)
    return _difference(tf, function, signature, model)


def _write_onnx(tf: Any, function: Any, signature: Signature, target: Path) -> None:
    import onnx

    tf2onnx = _tf2onnx()
    inputs = function.structured_input_signature[1]
    names = [spec.name for spec in signature.inputs]
    specs = [tf.TensorSpec(inputs[name].shape, inputs[name].dtype, name=name) for name in names]

    def answer(*values: Any) -> dict[str, Any]:
        given = function(**dict(zip(names, values, strict=True)))
        return {name: tf.identity(value) for name, value in given.items()}

    traced = tf.function(answer, input_signature=specs, autograph=False)
    converted, _ = tf2onnx.convert.from_function(traced, specs, opset=_OPSET)
    onnx_names.make_stable(converted)
    _name_batch(converted.graph, signature)
    onnx.checker.check_model(converted)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(converted, target)


def _tf2onnx() -> Any:
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        import tf2onnx
        import tf2onnx.convert

        # tf2onnx calls what NumPy 2 no longer has; Keras knows the mend.
        from keras.src.export.tf2onnx_lib import patch_tf2onnx

        patch_tf2onnx()
    return tf2onnx


def _name_batch(graph: Any, signature: Signature) -> None:
    """The converter loses the sizes of outputs, and gives each open dimension a name of its own."""
    specs = {spec.name: spec for spec in (*signature.inputs, *signature.outputs)}
    for value in (*graph.input, *graph.output):
        wanted = specs[value.name].shape
        found = value.type.tensor_type.shape.dim
        if len(found) != len(wanted):
            continue
        for axis, size in enumerate(wanted):
            if size >= 0:
                found[axis].dim_value = size
            elif axis == 0:
                found[axis].dim_param = "batch"


def _difference(tf: Any, function: Any, signature: Signature, model: OnnxModel) -> str:
    """How the ONNX form answers otherwise than the signature; empty when alike."""
    for rows in _ROWS:
        fault = _difference_of_rows(tf, function, signature, model, rows)
        if fault:
            return fault
    return ""


def _difference_of_rows(tf: Any, function: Any, signature: Signature, model: OnnxModel, rows: int) -> str:
    failure = "it has no inputs"
    for inputs in made_up.random(signature, rows):
        try:
            expected = tensorflow_engine.call(tf, function, inputs)
        except Exception as error:
            failure = warming.cause(error)
            continue
        try:
            found = model.run(inputs, DEFAULT_SIGNATURE)
        except Exception as error:
            return f"it does not run: {warming.cause(error)}"
        return difference(found, expected)
    return f"no made-up input to compare the answers on is taken ({failure})"


def difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """How one form's answer differs from another's; empty when alike."""
    for name, value in expected.items():
        if name not in found:
            return f"output {name!r} is lost"
        if not warming.alike(found[name], value):
            if value.dtype.kind != "f" or found[name].shape != value.shape:
                return f"output {name!r} is another one"
            largest = float(np.abs(found[name] - value).max())
            return f"output {name!r} differs by {largest:.2g}; expected at most {warming.TOLERANCE:g}"
    return ""


def _target(directory: Path, signature: str) -> Path:
    if signature == DEFAULT_SIGNATURE:
        return directory / layout.ONNX
    return directory / layout.SIGNATURES / f"{quote(signature, safe='')}.onnx"


def remove_onnx(directory: Path) -> None:
    """Take back what :func:`to_onnx` wrote."""
    (directory / layout.ONNX).unlink(missing_ok=True)
    shutil.rmtree(directory / layout.SIGNATURES, ignore_errors=True)


def say(message: str) -> None:
    """Tell whoever waits for the import."""
    reporting.current().report("event", {"message": message})
