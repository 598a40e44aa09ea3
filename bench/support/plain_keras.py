"""The three networks of the main job, trained the way a notebook would: one process, one after another.

``--first-step`` stops after the first training step of the first of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from argosy import data

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion_mnist"
EPOCHS, BATCH = 3, 128


def training_images() -> tuple[np.ndarray, np.ndarray]:
    """float32[55000, 28, 28, 1] in [0, 1], and the labels."""
    parts = [rows for split, rows in data.fashion_mnist().blocks() if split == "train"]
    images = np.concatenate([part["images"] for part in parts])
    labels = np.concatenate([part["labels"] for part in parts])
    return images[..., np.newaxis].astype(np.float32) / 255, labels


def main() -> None:
    sys.path.insert(0, str(EXAMPLE))
    from fashion_mnist import ARCHITECTURES, optimizer

    images, labels = training_images()
    with tempfile.TemporaryDirectory() as folder:
        for name, build in ARCHITECTURES.items():
            keras.utils.set_random_seed(0)
            model = build()
            model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
            if "--first-step" in sys.argv:
                model.train_on_batch(images[:BATCH], labels[:BATCH])
                return
            model.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
            model.save(Path(folder) / f"{name}.keras")


if __name__ == "__main__":
    main()
