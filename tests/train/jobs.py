"""What the ranks of a test's gang run."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from argosy import data, reporting, train
from argosy.artifacts.handles import Dataset
from argosy.artifacts.reference import ArtifactReference
from argosy.data import ImagePreprocessing

PREPROCESSING = ImagePreprocessing(height=12, width=12)


def plain() -> Any:
    return _network([])


def noisy() -> Any:
    """Batch normalization and dropout: moving statistics and random state."""
    from keras import layers

    return _network([layers.BatchNormalization(momentum=0.8), layers.Dropout(0.3)])


def synchronized() -> Any:
    """Batch normalization by the moments of the whole global batch."""
    from keras import layers

    # A bias before a normalization has no gradient but noise, which an adaptive optimizer makes large.
    return _network([layers.BatchNormalization(momentum=0.8, synchronized=True)], use_bias=False)


def _network(extra: list[Any], use_bias: bool = True) -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Conv2D(4, 3, activation="relu", use_bias=use_bias),
            layers.MaxPooling2D(),
            *extra,
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def exploding() -> Any:
    from keras import optimizers

    return optimizers.SGD(1e30)


def shapeless() -> Any:
    from keras import Sequential, layers

    return Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])


def larger() -> Any:
    from keras import Sequential, layers

    return Sequential([layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")])


MODELS: dict[str, Callable[[], Any]] = {
    "plain": plain,
    "noisy": noisy,
    "synchronized": synchronized,
    "shapeless": shapeless,
    "larger": larger,
}


def fit(
    *, rank: int, workers: int, dataset: str, output: str, node: str, model: str = "plain", **options: Any
) -> None:
    """Train, and write what this rank has at the end: weights, result, reports."""
    reports: list[Any] = []
    _install(rank, workers, output, node, reports)
    result = train.fit(
        MODELS[model],
        Path(dataset),
        preprocessing=PREPROCESSING,
        optimizer=exploding if options.pop("explode", False) else None,
        **options,
    )
    np.savez(Path(output) / f"weights-{rank}.npz", *result.model.get_weights())
    seeds = [v.numpy().tolist() for v in result.model.non_trainable_variables if "seed" in v.name]
    summary = {
        "metrics": result.metrics,
        "history": [record.validation_accuracy for record in result.history],
        "resumed_from": result.resumed_from,
        "steps": result.steps,
        "seeds": seeds,
        "reports": reports,
    }
    (Path(output) / f"rank-{rank}.json").write_text(json.dumps(summary))


def evaluate(*, rank: int, workers: int, dataset: str, output: str, weights: str, model: str) -> None:
    """Loss and accuracy of saved weights over the validation split, by Keras itself."""
    import keras

    network = MODELS[model]()
    with np.load(weights) as arrays:
        network.set_weights([arrays[name] for name in arrays.files])
    columns = data.open_dataset(Path(dataset)).split("validation").read(0, 10**6)
    predictions = np.asarray(network(PREPROCESSING.from_arrays(columns["images"]), training=False))
    losses = np.asarray(keras.losses.sparse_categorical_crossentropy(columns["labels"], predictions))
    accuracy = (predictions.argmax(-1) == columns["labels"]).mean()
    (Path(output) / "evaluation.json").write_text(json.dumps([float(losses.mean()), float(accuracy)]))


def layers_of_the_example(*, rank: int, workers: int, output: str, example: str) -> None:
    """The layer types of each network of the main job."""
    sys.path.insert(0, example)
    from fashion_mnist import ARCHITECTURES

    kinds = {name: [type(x).__name__ for x in build().layers] for name, build in ARCHITECTURES.items()}
    (Path(output) / "layers.json").write_text(json.dumps(kinds))


def fit_and_export(*, rank: int, workers: int, dataset: str, output: str, node: str) -> None:
    _install(rank, workers, output, node, [])
    stored = Dataset(dataset, reference=ArtifactReference("d1" * 32, "dataset", 1))
    result = train.fit(noisy, stored, epochs=1, preprocessing=PREPROCESSING)
    model = train.export(result, name="noisy")
    (Path(output) / f"model-{rank}.txt").write_text(str(model.path))


def use_tensorflow_then_fit(*, rank: int, workers: int, dataset: str, output: str, node: str) -> None:
    import tensorflow as tf

    tf.zeros(3).numpy()
    fit(rank=rank, workers=workers, dataset=dataset, output=output, node=node, epochs=1)


def answers(*, rank: int, workers: int, model: str, output: str, images: str) -> None:
    """What both signatures and the preprocessing say of encoded images, given as .npz of bytes."""
    import tensorflow as tf

    signatures = tf.saved_model.load(f"{model}/saved_model").signatures
    preprocessing = ImagePreprocessing.from_json((Path(model) / "preprocessing.json").read_text())
    with np.load(images) as arrays:
        encoded = {name: arrays[name].tobytes() for name in arrays.files}
    by_bytes = signatures["image_bytes"](image_bytes=tf.constant(list(encoded.values())))
    decoded = np.stack([preprocessing.decode(value) for value in encoded.values()])
    pixels = np.stack([_pixels(value) for value in encoded.values()])
    by_pixels = signatures["serving_default"](images=tf.constant(pixels))
    np.savez(
        Path(output) / "answers.npz",
        by_bytes=by_bytes["probabilities"].numpy(),
        by_pixels=by_pixels["probabilities"].numpy(),
        decoded=decoded,
        pixels=pixels,
    )


def decoded_by_tensorflow(*, rank: int, workers: int, output: str, images: str) -> None:
    """Pixels by the SavedModel's graph and by Pillow, for a grey and a colour model."""
    import tensorflow as tf

    from argosy.train import saved_model

    with np.load(images) as arrays:
        encoded = {name: arrays[name].tobytes() for name in arrays.files}
    results = {}
    for channels in (1, 3):
        rule = ImagePreprocessing(28, 28, channels, scale=1.0)
        for name, value in encoded.items():
            in_graph = saved_model.decode(tf, tf.constant(value), rule).numpy()
            results[f"{name}.{channels}"] = np.abs(in_graph - rule.decode(value)).max()
    (Path(output) / "differences.json").write_text(json.dumps({k: float(v) for k, v in results.items()}))


def _pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("L").resize((12, 12)))


def _install(rank: int, workers: int, output: str, node: str, reports: list[Any]) -> None:
    reporting.install(
        reporting.CurrentAttempt(
            rank=rank,
            workers=workers,
            directory=Path(output),
            node_directory=Path(node),
            report=lambda kind, body: reports.append([kind, dict(body)]),
        )
    )
