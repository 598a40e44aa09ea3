"""KServe's Python server: two workers. Its batcher lives in a sidecar, so that here there is none."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

from functools import lru_cache

import numpy as np
from decoding import PORT, decode, load, predict
from kserve import Model, ModelServer

# Models are pickled for the workers, and a session can not be: each worker loads its own.
session = lru_cache(load)


class Classifier(Model):
    def load(self) -> bool:
        self.ready = True
        return True

    def predict(self, payload, headers=None, response_headers=None):
        images = np.stack([decode(instance) for instance in payload["instances"]])
        return {"predictions": predict(session(), images).tolist()}


if __name__ == "__main__":
    model = Classifier("bench")
    model.load()
    server = ModelServer(
        http_port=PORT, workers=2, enable_grpc=False, enable_latency_logging=False, access_log_format=None
    )
    server.start([model])
