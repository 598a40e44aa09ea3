"""Fashion-MNIST, from raw images to a served ensemble.

    argosy run examples/fashion_mnist/fashion_mnist.py --epochs 3

ingest → train three networks, each a gang of two workers → select the best two → serve them as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import argosy as ar
from argosy import data
from argosy import train as training

if TYPE_CHECKING:
    import keras


def cnn() -> keras.Model:
    """Two convolutions and a dense layer."""
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(48, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cnn_dropout() -> keras.Model:
    """The same, but a share of the features is left out of each training step."""
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(48, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(96, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cnn_batch_norm() -> keras.Model:
    """The same, with each convolution's output normalized over the batch."""
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(24, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("relu"),
            layers.Conv2D(48, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


ARCHITECTURES = {"cnn": cnn, "dropout": cnn_dropout, "batch_norm": cnn_batch_norm}


def optimizer() -> keras.Optimizer:
    """Adam, with a learning rate that halves in each epoch of 430 steps."""
    from keras import optimizers

    return optimizers.Adam(optimizers.schedules.ExponentialDecay(0.003, decay_steps=430, decay_rate=0.5))


@ar.step(memoize=ar.Memoize(max_age="14d"))
def ingest(source: str, seed: int) -> ar.Dataset:
    """Raw files to checksummed shards: 55,000 images to train, 5,000 to validate, 10,000 to test."""
    return data.write_dataset(data.fashion_mnist(source, validation=5_000, seed=seed))


@ar.step(
    gang=ar.Gang(workers=2, min_workers=1),
    resources=ar.Resources(cpu=1, memory="2Gi"),
    retry=ar.Retry(limit=3),
    memoize=ar.Memoize(),
)
def train(dataset: ar.Dataset, architecture: str, epochs: int, seed: int) -> ar.Model:
    """Runs on both workers: each computes half of every batch, and they sum their gradients."""
    result = training.fit(
        ARCHITECTURES[architecture],
        dataset,
        epochs=epochs,
        preprocessing=data.ImagePreprocessing(height=28, width=28),
        global_batch_size=128,
        optimizer=optimizer,
        seed=seed,
    )
    return training.export(result, name=architecture)


@ar.step(memoize=ar.Memoize())
def select(candidates: list[ar.Model], top: int, min_accuracy: float) -> list[ar.Model]:
    """The best by validation accuracy. The test images play no part in training or in this choice."""
    return training.select(candidates, top=top, min_accuracy=min_accuracy)


@ar.workflow
def fashion_mnist(
    dataset: str = "fashion_mnist",
    epochs: int = 3,
    seed: int = 0,
    top: int = 2,
    min_accuracy: float = 0.85,
) -> ar.Endpoint:
    """Ingest, train three networks, select the best of them, serve those.

    ``dataset`` is ``fashion_mnist`` or a folder that holds its four files.
    """
    # Found now, so that what the files hold, and not only their name, decides whether ingest runs again.
    source = data.locate_fashion_mnist(dataset)
    images = ingest(source, seed)
    candidates = [train(images, architecture, epochs, seed) for architecture in ARCHITECTURES]  # fan-out
    best = select(candidates, top, min_accuracy)  # fan-in
    return ar.serve("fashion-mnist", best, replicas=(2, 4), aggregate="mean")
