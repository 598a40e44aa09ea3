"""What the machine could do at most: decode and ONNX Runtime in a loop, without any HTTP.

``python -m serving.bare_limit MODEL BATCH SECONDS`` prints the images a second of one process, and the
microseconds of processor time an image.
"""

from __future__ import annotations

import base64
import io
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from serving.inputs import jpegs


@dataclass(frozen=True, slots=True)
class Limit:
    """Images a second of all processes together, and microseconds of processor time an image."""

    rate: float
    microseconds: float


def of_this_process(model: Path, batch: int, seconds: float) -> Limit:
    """On one thread, base64 text to probabilities."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model / "model.onnx", options, providers=["CPUExecutionProvider"])
    texts = [base64.b64encode(jpeg) for jpeg in jpegs()]
    done, start, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        at = done % (len(texts) - batch)
        pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in texts[at : at + batch]]
        images = np.stack([np.asarray(one, np.float32) for one in pictures])
        session.run(None, {"images": images[..., np.newaxis] / 255})
        done += batch
    return Limit(done / (time.perf_counter() - start), 1e6 * (time.process_time() - used) / done)


def on_every_core(model: Path, batch: int, seconds: float, processes: int = 2) -> Limit:
    """So many processes side by side."""
    command = [sys.executable, "-m", "serving.bare_limit", str(model), str(batch), str(seconds)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("the bare loop failed")
    rates, microseconds = zip(*(map(float, output.split()) for output in outputs), strict=True)
    return Limit(sum(rates), statistics.mean(microseconds))


if __name__ == "__main__":
    found = of_this_process(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print(found.rate, found.microseconds, flush=True)
