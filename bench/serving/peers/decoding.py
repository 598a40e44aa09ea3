"""What a user would write to serve the model by hand: used by every peer alike, and by none of ours."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import base64
import io
import os
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

MODEL = os.environ.get("BENCH_MODEL", "")
PORT = int(os.environ.get("BENCH_PORT", "0"))
MAX_BATCH = 64


def load(path: str = "") -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread: two processes fill two cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(Path(path or MODEL) / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


def decode(instance: dict) -> np.ndarray:
    """float32[28, 28, 1] in [0, 1] of {"b64": a JPEG file}."""
    picture = Image.open(io.BytesIO(base64.b64decode(instance["b64"]))).convert("L")
    return np.asarray(picture, np.float32)[..., np.newaxis] / 255


def predict(session: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
    return session.run(None, {"images": images})[0]
