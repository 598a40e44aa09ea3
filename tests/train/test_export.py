"""The exported model: its layout, and that every form of it answers alike."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from argosy import Model
from argosy.data import ImagePreprocessing

from .conftest import CLASSES, Gangs, error_of, folder

pytestmark = pytest.mark.slow
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def exported(gangs: Gangs, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory that the chief of two workers exported."""
    output = tmp_path_factory.mktemp("exported")
    codes = gangs("fit_and_export", workers=2, dataset=dataset, output=output, node=folder(output / "node"))
    assert codes == [0, 0], error_of(output)
    paths = [Path((output / f"model-{rank}.txt").read_text()) for rank in (0, 1)]
    assert not list(paths[1].iterdir())
    return paths[0]


def test_the_directory_is_what_the_model_server_reads(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "argosy.json", "labels.json", "model.onnx", "preprocessing.json", "saved_model",
    ]  # fmt: skip
    assert tuple(json.loads((exported / "labels.json").read_text())) == CLASSES
    model = Model(exported)
    assert model.name == "noisy"
    assert model.card()["dataset"] == "d1" * 32
    assert {"validation_accuracy", "validation_loss", "seconds"} <= set(model.metrics)
    rule = ImagePreprocessing.from_json((exported / "preprocessing.json").read_text())
    assert rule == ImagePreprocessing(height=12, width=12)
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    (images,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(float)", ["batch", 12, 12, 1])
    assert (probabilities.name, probabilities.shape) == ("probabilities", ["batch", 3])


def png(pixels: np.ndarray | Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def save(path: Path, images: dict[str, bytes]) -> Path:
    np.savez(path, **{name: np.frombuffer(data, np.uint8) for name, data in images.items()})
    return path


def test_onnx_with_preprocessing_and_both_signatures_answer_alike_on_the_same_bytes(
    gangs: Gangs, exported: Path, tmp_path: Path
) -> None:
    pngs = {f"image{i}": png(RANDOM.integers(0, 256, (12, 12), np.uint8)) for i in range(8)}
    images = save(tmp_path / "images.npz", pngs)
    assert gangs("answers", model=exported, output=tmp_path, images=images) == [0]
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    with np.load(tmp_path / "answers.npz") as answers:
        (onnx,) = session.run(["probabilities"], {"images": answers["decoded"]})
        assert np.abs(onnx - answers["by_bytes"]).max() < 1e-5
        assert np.abs(onnx - answers["by_pixels"]).max() < 1e-5
        assert np.allclose(answers["by_bytes"].sum(axis=1), 1, atol=1e-5)
        assert answers["decoded"].max() <= 1


SMOOTH = np.add.outer(np.arange(90) * 1.2, np.arange(70) * 1.7).astype(np.uint8)
GREY = RANDOM.integers(0, 256, (28, 28), np.uint8)
COLOUR = RANDOM.integers(0, 256, (28, 28, 3), np.uint8)
PALETTE = Image.fromarray(COLOUR).quantize(64)


def test_tensorflow_and_pillow_read_every_kind_of_image_alike(gangs: Gangs, tmp_path: Path) -> None:
    exact = {
        "grey": png(GREY),
        "colour": png(COLOUR),
        "transparent": png(np.dstack([COLOUR, GREY])),
        "grey-transparent": png(Image.merge("LA", [Image.fromarray(GREY)] * 2)),
        "palette": png(Image.fromarray(COLOUR).quantize(64)),
        "bilevel": png(Image.fromarray(GREY).convert("1")),
        "sixteen-bits": png(Image.fromarray(GREY.astype(np.uint16) * 256 + 77)),
        "gif": png(GREY, "GIF"),
        "gif-palette": png(PALETTE, "GIF"),
        "gif-transparent": png(PALETTE, "GIF", transparency=3),
        "gif-animated": png(PALETTE, "GIF", save_all=True, append_images=[Image.fromarray(COLOUR)]),
        "bmp": png(GREY, "BMP"),
        "bmp-colour": png(COLOUR, "BMP"),
        "bmp-palette": png(PALETTE, "BMP"),
        "bmp-transparent": png(np.dstack([COLOUR, GREY]), "BMP"),
    }
    resized = {
        "smaller": png(RANDOM.integers(0, 256, (9, 13, 3), np.uint8)),
        "larger": png(RANDOM.integers(0, 256, (301, 97, 3), np.uint8)),
        "gif-larger": png(RANDOM.integers(0, 256, (60, 31), np.uint8), "GIF"),
        "bmp-larger": png(RANDOM.integers(0, 256, (60, 31, 3), np.uint8), "BMP"),
        "mixed": png(RANDOM.integers(0, 256, (14, 200), np.uint8)),
    }
    jpegs = {
        "jpeg": png(GREY, "JPEG", quality=90),
        "jpeg-colour": png(COLOUR, "JPEG", quality=90),
        "jpeg-smooth": png(SMOOTH, "JPEG"),
        "jpeg-cmyk": png(Image.fromarray(np.dstack([COLOUR, GREY]), "CMYK"), "JPEG"),
    }
    images = save(tmp_path / "images.npz", exact | resized | jpegs)
    assert gangs("decoded_by_tensorflow", output=tmp_path, images=images) == [0], error_of(tmp_path)
    differences = json.loads((tmp_path / "differences.json").read_text())
    limits = {**dict.fromkeys(exact, 0.0), **dict.fromkeys(resized, 1e-3), **dict.fromkeys(jpegs, 1.0)}
    over = {name: value for name, value in differences.items() if value > limits[name.partition(".")[0]]}
    assert not over
    assert len(differences) == 2 * len(limits)
