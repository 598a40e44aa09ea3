"""MLServer: a custom runtime in two parallel workers. Adaptive batching is for its own protocol alone."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import numpy as np
from decoding import decode, load, predict
from mlserver import MLModel
from mlserver.handlers import custom_handler


class Classifier(MLModel):
    async def load(self) -> bool:
        self.session = load()
        return True

    @custom_handler(rest_path="/predict")
    async def classify(self, payload: dict) -> dict:
        images = np.stack([decode(instance) for instance in payload["instances"]])
        return {"predictions": predict(self.session, images).tolist()}
