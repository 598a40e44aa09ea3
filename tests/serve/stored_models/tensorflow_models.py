"""Keras models and SavedModels in every layout; imported only where TensorFlow may be started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from argosy.data import ImagePreprocessing
from argosy.train.saved_model import save_signatures

PREPROCESSING = ImagePreprocessing(6, 6)


def make_all(folder: Path) -> None:
    """One entry of ``folder`` for each of MAKERS, under its name."""
    keras.utils.set_random_seed(0)
    for make in MAKERS:
        make(folder / make.__name__.removesuffix("_keras"))


def images() -> Any:
    inputs = keras.Input((6, 6, 1), name="pixels")
    hidden = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(hidden))
    return keras.Model(inputs, outputs)


def images_keras(file: Path) -> None:
    images().save(file.with_suffix(".keras"))


def flat_keras(file: Path) -> None:
    layers = [keras.Input((6, 6)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    keras.Sequential(layers).save(file.with_suffix(".keras"))


def several_keras(file: Path) -> None:
    """Two inputs of two types, two outputs."""
    numbers = keras.Input((4,), name="numbers")
    words = keras.Input((5,), dtype="int32", name="words")
    seen = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(2, 3)(words))
    both = keras.layers.Concatenate()([numbers, seen])
    outputs = [keras.layers.Dense(2, activation="softmax")(both), keras.layers.Dense(1)(both)]
    keras.Model([numbers, words], outputs).save(file.with_suffix(".keras"))


class Unknown(keras.layers.Layer):  # type: ignore[misc]
    def call(self, values: Any) -> Any:
        return values


def unknown_keras(file: Path) -> None:
    inputs = keras.Input((2,))
    keras.Model(inputs, Unknown()(inputs)).save(file.with_suffix(".keras"))


def corrupted_keras(file: Path) -> None:
    file = file.with_suffix(".keras")
    images().save(file)
    data = bytearray(file.read_bytes())
    middle = data.index(b"model.weights.h5") + 2000
    data[middle : middle + 64] = bytes(64)
    file.write_bytes(data)


class Module(tf.Module):  # type: ignore[misc]
    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = tf.Variable(factor)


def save(folder: Path, module: Any, **functions: Any) -> None:
    signatures = {
        name: tf.function(function, input_signature=specs, autograph=False)
        for name, (function, specs) in functions.items()
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)


def numbers(*shape: int | None, name: str = "x") -> list[Any]:
    return [tf.TensorSpec(shape, tf.float32, name=name)]


def two_signatures(folder: Path) -> None:
    module = Module()
    save(
        folder,
        module,
        serving_default=(lambda x: {"y": x * module.factor}, numbers(None, 3)),
        half=(lambda x: {"z": x / module.factor}, numbers(None, 3)),
    )


def other_name(folder: Path) -> None:
    """Its only signature is not called serving_default."""
    module = Module(3.0)
    save(folder, module, triple=(lambda x: {"y": x * module.factor}, numbers(None, 3)))


def static_batch(folder: Path) -> None:
    module = Module()
    save(folder, module, serving_default=(lambda x: {"y": x * module.factor}, numbers(1, 3)))


def text_lengths(folder: Path) -> None:
    specs = [tf.TensorSpec((None,), tf.string, name="text")]

    def lengths(text: Any) -> Any:
        return {"length": tf.strings.length(text), "upper": tf.strings.upper(text)}

    save(folder, Module(), serving_default=(lengths, specs))


def parsed_examples(folder: Path) -> None:
    """Serialized tf.Example in, as TensorFlow's estimators export it."""
    specs = [tf.TensorSpec((None,), tf.string, name="examples")]
    features = {"x": tf.io.FixedLenFeature((2,), tf.float32, default_value=[1.0, 2.0])}
    save(folder, Module(), serving_default=(lambda examples: tf.io.parse_example(examples, features), specs))


def without_signatures(folder: Path) -> None:
    tf.saved_model.save(Module(), str(folder))


def without_variables(folder: Path) -> None:
    save(folder, tf.Module(), serving_default=(lambda x: {"y": x + 1.0}, numbers(None, 3)))


def broken_variables(folder: Path) -> None:
    two_signatures(folder)
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"")


def argosy_saved_model(folder: Path) -> None:
    save_signatures(tf, images(), PREPROCESSING, folder)


def numbered(folder: Path) -> None:
    """A TensorFlow Serving folder of three versions and a broken one, each multiplying by its number."""
    for number in (1, 2, 10):
        _multiplying(folder / str(number), Module(float(number)))
    (folder / "11" / "variables").mkdir(parents=True)


def _multiplying(folder: Path, module: Module) -> None:
    save(folder, module, serving_default=(lambda x: {"y": x * module.factor}, numbers(None, 3)))


MAKERS = (
    images_keras, flat_keras, several_keras, unknown_keras, corrupted_keras, two_signatures, other_name,
    static_batch, text_lengths, parsed_examples, without_signatures, without_variables, broken_variables,
    argosy_saved_model, numbered,
)  # fmt: skip


def keras_answer(file: Path, inputs: dict[str, np.ndarray]) -> list[Any]:
    """What Keras itself answers, an array an output."""
    model = keras.saving.load_model(file)
    given = (
        [inputs[one.name] for one in model.inputs] if len(model.inputs) > 1 else next(iter(inputs.values()))
    )
    answer = model(given, training=False)
    return [np.asarray(one).tolist() for one in (answer if isinstance(answer, list | tuple) else [answer])]
