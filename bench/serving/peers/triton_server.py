"""Triton, through PyTriton: two instances, dynamic batching without a delay. The image is a BYTES tensor."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import base64
import io

import numpy as np
from decoding import MAX_BATCH, PORT, load, predict
from PIL import Image
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def classifier():
    session = load()

    @batch
    def infer(image):
        pictures = [Image.open(io.BytesIO(base64.b64decode(one[0]))).convert("L") for one in image]
        images = np.stack([np.asarray(one, np.float32) for one in pictures])[..., np.newaxis] / 255
        return {"probabilities": predict(session, images)}

    return infer


if __name__ == "__main__":
    configuration = TritonConfig(
        http_address="127.0.0.1", http_port=PORT, grpc_port=PORT + 1, metrics_port=PORT + 2, log_verbose=0
    )
    with Triton(config=configuration) as triton:
        triton.bind(
            model_name="bench",
            infer_func=[classifier(), classifier()],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(10,))],
            config=ModelConfig(
                max_batch_size=MAX_BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)
            ),
            strict=False,
        )
        triton.serve()
