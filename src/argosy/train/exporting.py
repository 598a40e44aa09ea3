"""A trained model as a folder that the model server, TensorFlow Serving and KServe can serve.

model.onnx            images float32[batch, h, w, c] (preprocessed) to probabilities float32[batch, classes]
preprocessing.json    how an image becomes that input
labels.json           the class names, in order
saved_model/          serving_default: images uint8[batch, h, w]; image_bytes: encoded images
argosy.json           name, metrics and, of a stored dataset, the digest
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from argosy import reporting
from argosy.artifacts.handles import CARD, Model
from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import InvalidRequest, RunFailed
from argosy.train import libraries
from argosy.train.result import TrainingResult
from argosy.train.saved_model import save_signatures

TOLERANCE = 1e-4
_SAMPLES = 100
_OPSET = 17


def export(result: TrainingResult, *, name: str, directory: Path | None = None) -> Model:
    """Export what :func:`argosy.train.fit` yielded, with its metrics. The chief alone writes.

    Raises RunFailed when the exported forms do not answer alike on the validation split's first images.
    """
    directory = directory or _scratch(name)
    model = Model(directory, name=name, metrics=result.metrics)
    if result.is_chief:
        reporting.current().report("event", {"message": "exporting"})
        samples = result.dataset.split("validation").read(0, _SAMPLES)[result.features]
        export_model(result.model, result.preprocessing, result.dataset.classes, directory, samples=samples)
        card = {"name": name, "metrics": result.metrics}
        # What it was trained on: a later model is compared with it on the same validation split.
        card |= {"dataset": result.dataset.digest} if result.dataset.digest else {}
        (directory / CARD).write_text(json.dumps(card))
    return model


def export_model(
    model: Any,
    preprocessing: ImagePreprocessing,
    labels: Sequence[str],
    directory: Path,
    *,
    samples: npt.NDArray[np.uint8],
) -> None:
    """Write the model directory. ``samples``, uint8[n, h, w], are what the forms are compared on.

    Without labels there is no ``labels.json``. Raises RunFailed when SavedModel and ONNX differ from the
    model by more than 1e-4 in a probability.
    """
    outputs = model.outputs[0].shape[-1]
    if labels and len(labels) != outputs:
        raise InvalidRequest(
            f"the model has {outputs} outputs and {len(labels)} labels", hint="give one label for each class"
        )
    tf, keras = libraries.load()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "preprocessing.json").write_text(preprocessing.to_json())
    if labels:
        (directory / "labels.json").write_text(json.dumps(list(labels)))
    save_signatures(tf, model, preprocessing, directory / "saved_model")
    _save_onnx(keras, model, preprocessing, directory / "model.onnx")
    _compare(tf, model, preprocessing, directory, samples)


def _save_onnx(keras: Any, model: Any, preprocessing: ImagePreprocessing, path: Path) -> None:
    import onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    specification = keras.InputSpec(shape=(None, *preprocessing.shape), dtype="float32", name="images")
    with warnings.catch_warnings():
        # Keras asks NumPy for an attribute it no longer has, to mend tf2onnx.
        warnings.filterwarnings("ignore", message="In the future `np.object`", category=FutureWarning)
        model.export(
            path, format="onnx", verbose=False, input_signature=[specification], opset_version=_OPSET
        )
    converted = onnx.load(path)
    _rename_output(converted.graph, "probabilities")
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(converted)
    onnx.save(converted, path)


def _rename_output(graph: Any, name: str) -> None:
    (output,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            for index, used in enumerate(names):
                if used == output.name:
                    names[index] = name
    output.name = name


def _compare(
    tf: Any,
    model: Any,
    preprocessing: ImagePreprocessing,
    directory: Path,
    samples: npt.NDArray[np.uint8],
) -> None:
    import onnxruntime

    images = preprocessing.from_arrays(samples)
    expected = np.asarray(model(images, training=False))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    served = tf.saved_model.load(str(directory / "saved_model")).signatures["serving_default"]
    answers = {
        "ONNX": session.run(["probabilities"], {"images": images})[0],
        "SavedModel": served(images=tf.constant(samples))["probabilities"].numpy(),
    }
    for form, found in answers.items():
        difference = float(np.abs(found - expected).max())
        if not difference <= TOLERANCE:
            raise RunFailed(
                f"the {form} export differs from the model by {difference:.2g} in a probability; "
                f"expected at most {TOLERANCE:g}",
                hint="use layers that both forms support alike, and check the preprocessing",
                context={"form": form, "difference": difference, "tolerance": TOLERANCE},
            )


def _scratch(name: str) -> Path:
    folder = reporting.current().directory
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"model-{name}-", dir=folder))
