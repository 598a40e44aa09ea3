"""``fit``: what a step calls on every rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from argosy import reporting
from argosy.artifacts.handles import Dataset
from argosy.data.preprocessing import ImagePreprocessing
from argosy.data.reader import open_dataset
from argosy.errors import InvalidRequest
from argosy.train import libraries
from argosy.train.checkpoints import Checkpoints
from argosy.train.cluster import Cluster, Membership
from argosy.train.loop import Training
from argosy.train.result import TrainingResult
from argosy.train.settings import Settings
from argosy.train.steps import Loss


def fit(
    build_model: Callable[[], Any],
    dataset: Dataset | Path,
    *,
    epochs: int,
    preprocessing: ImagePreprocessing,
    global_batch_size: int = 128,
    seed: int = 0,
    optimizer: Callable[[], Any] | None = None,
    loss: Loss | None = None,
    features: str = "images",
    labels: str = "labels",
    report_every_steps: int = 50,
    checkpoint_every_steps: int | None = None,
    checkpoint_every_seconds: float = 5.0,
    checkpoints: Path | None = None,
    deterministic: bool = False,
) -> TrainingResult:
    """Train a Keras classifier on the ``train`` split, on every rank of the gang, and resume where it was.

    ``build_model`` returns a Keras model from float32[batch, h, w, c] to probabilities
    float32[batch, classes]; it and ``optimizer`` (default: Adam) are called in every process after its seeds
    are set. ``loss`` maps (int32[batch], predictions) to one number for each example; the default is sparse
    categorical crossentropy on probabilities. The global batch is the same for any number of workers. The
    ``validation`` split is evaluated exactly, shared among the ranks, after each epoch; the ``test`` split is
    never read.

    Checkpoints go to the node's own folder (or ``checkpoints``): when ``checkpoint_every_seconds`` have
    passed at a report, every ``checkpoint_every_steps`` if given, and after each epoch. ``deterministic``
    asks TensorFlow for bit-equal repetition, at some cost in speed.

    Raises RunFailed that names the step when the loss is no longer finite; Conflict when the checkpoint
    folder holds another training; InvalidRequest for settings that can not be.
    """
    settings = Settings(
        epochs, global_batch_size, seed, preprocessing, features, labels,
        report_every_steps, checkpoint_every_steps, checkpoint_every_seconds,
    )  # fmt: skip
    settings.check()
    membership = Membership.from_environment()
    reader = open_dataset(dataset)
    tf, keras = libraries.load()
    libraries.limit_threads(tf)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    cluster = Cluster(tf, membership)
    # NumPy takes no other seeds than these.
    keras.utils.set_random_seed(seed % 2**32)
    model = _checked(build_model(), preprocessing)
    optimizing = optimizer() if optimizer is not None else keras.optimizers.Adam()
    optimizing.build(model.trainable_variables)
    directory = checkpoints or reporting.current().checkpoints
    training = Training(
        tf, cluster, model, optimizing, loss or keras.losses.sparse_categorical_crossentropy,
        reader, settings, Checkpoints(directory) if directory else None,
    )  # fmt: skip
    return training.run()


def _checked(model: Any, preprocessing: ImagePreprocessing) -> Any:
    inputs = getattr(model, "inputs", None) or []
    shapes = [tuple(tensor.shape[1:]) for tensor in inputs]
    if shapes != [preprocessing.shape]:
        found = f"takes {shapes}" if shapes else f"is a {type(model).__name__} whose input is not known"
        raise InvalidRequest(
            f"the model {found}; expected one input of {preprocessing.shape}, what the preprocessing makes",
            hint=f"start the model with keras.layers.Input({preprocessing.shape})",
        )
    return model
