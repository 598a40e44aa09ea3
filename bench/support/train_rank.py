"""One rank of a training, or plain Keras, for one epoch of the main job's first network; prints images/s.

    train_rank.py argosy|keras DATASET

The rate leaves out start-up and tracing: it is that of the steps after the first report.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from argosy import data, train
from argosy.train import libraries

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion_mnist"
BATCH = 128
PREPROCESSING = data.ImagePreprocessing(height=28, width=28)


def argosy_rate(dataset: Path) -> float:
    from fashion_mnist import cnn, optimizer

    result = train.fit(
        cnn,
        dataset,
        epochs=1,
        preprocessing=PREPROCESSING,
        global_batch_size=BATCH,
        optimizer=optimizer,
    )
    return result.metrics.get("examples_per_second", 0.0)


def keras_rate(dataset: Path) -> float:
    from fashion_mnist import cnn, optimizer

    columns = data.open_dataset(dataset).split("train").read(0, 10**9)
    images, labels = PREPROCESSING.from_arrays(columns["images"]), columns["labels"].astype(np.int32)
    model = cnn()
    model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images[: 50 * BATCH], labels[: 50 * BATCH], batch_size=BATCH, verbose=0)
    start = time.perf_counter()
    model.fit(images, labels, batch_size=BATCH, verbose=0)
    return len(images) / (time.perf_counter() - start)


def main() -> None:
    sys.path.insert(0, str(EXAMPLE))
    mode, dataset = sys.argv[1:]
    libraries.load()
    rate = {"argosy": argosy_rate, "keras": keras_rate}[mode](Path(dataset))
    print(rate, flush=True)


if __name__ == "__main__":
    main()
