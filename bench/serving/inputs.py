"""What every server is asked with: models exported once to a cache, JPEG images of 28 x 28 as JSON bodies."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from argosy import data

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion_mnist"
SIDE, CLASSES = 28, 10
LABELS = tuple(f"class {number}" for number in range(CLASSES))
IMAGES = 256
SLOW_FILTERS = 192
EPOCHS = 60

Pixels = NDArray[np.uint8]


def cache() -> Path:
    """A folder of the benchmarks' own, the one that bench/serving/install fills."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("ARGOSY_BENCH_CACHE") or Path(base) / "argosy-bench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plain_model() -> Path:
    """The main job's plain CNN as a model directory. It knows the pictures by heart, so that a wrong decoding
    shows in its answers."""
    return _exported("plain", _plain_network)


def slow_model() -> Path:
    """Some 10 milliseconds an image on one core, alone or in a batch: neither the load generator nor refusals
    are what the cores are busy with. It has learnt nothing."""
    return _exported(f"slow-{SLOW_FILTERS}", _slow_network)


def _plain_network() -> Any:
    sys.path.insert(0, str(EXAMPLE))
    from fashion_mnist import cnn

    network = cnn()
    images = pictures()[..., np.newaxis].astype(np.float32) / 255
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(images, np.arange(len(images)) % CLASSES, epochs=EPOCHS, batch_size=32, verbose=0)
    return network


def _slow_network() -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((SIDE, SIDE, 1)),
            layers.Conv2D(SLOW_FILTERS, 3, padding="same", activation="relu"),
            layers.Conv2D(SLOW_FILTERS, 3, padding="same", activation="relu"),
            layers.Conv2D(SLOW_FILTERS, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def _exported(name: str, build: Callable[[], Any]) -> Path:
    directory = cache() / "models" / name
    if (directory / "argosy.json").exists():
        return directory
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from argosy.train import libraries
    from argosy.train.exporting import export_model

    _, keras = libraries.load()
    keras.utils.set_random_seed(0)
    preprocessing = data.ImagePreprocessing(height=SIDE, width=SIDE)
    export_model(build(), preprocessing, LABELS, directory, samples=pictures()[:16])
    (directory / "argosy.json").write_text(json.dumps({"name": name, "metrics": {}}))
    return directory


def pictures() -> Pixels:
    """uint8[256, 28, 28]: Fashion-MNIST's test images where ARGOSY_DATA says they are, else drawn ones."""
    if os.environ.get("ARGOSY_DATA"):
        for split, rows in data.fashion_mnist().blocks():
            if split == "test":
                return np.ascontiguousarray(rows["images"][:IMAGES], np.uint8)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (IMAGES, 7, 7), np.uint8)
    drawn = [Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in coarse]
    return np.stack([np.asarray(one) for one in drawn])


def jpegs() -> list[bytes]:
    """Every picture as a JPEG file, some 500 bytes each."""
    return [_jpeg(one) for one in pictures()]


def _jpeg(picture: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG")
    return buffer.getvalue()


def instance(jpeg: bytes) -> bytes:
    return b'{"b64":"' + base64.b64encode(jpeg) + b'"}'


def bodies() -> list[bytes]:
    """The JSON of a request for each picture, on one line."""
    return bodies_of_several(1)


def bodies_of_several(images: int) -> list[bytes]:
    """Requests of so many pictures each."""
    instances = [instance(jpeg) for jpeg in jpegs()]
    groups = (instances[at : at + images] for at in range(0, len(instances) - images + 1, images))
    return [b'{"instances":[' + b",".join(group) + b"]}" for group in groups]


def expected(model: Path) -> NDArray[np.float32]:
    """float32[256, 10]: what the model answers for each picture, by ONNX Runtime and Pillow alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
    images = np.stack([np.asarray(Image.open(io.BytesIO(jpeg)), np.float32) for jpeg in jpegs()])
    (answers,) = session.run(None, {"images": images[..., np.newaxis] / 255})
    return np.asarray(answers, np.float32)
