"""BentoML: two workers, adaptive batching; started with `bentoml serve`."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import bentoml
import numpy as np
from decoding import MAX_BATCH, decode, load, predict


@bentoml.service(workers=2, logging={"access": {"enabled": False}})
class Classifier:
    def __init__(self) -> None:
        self.session = load()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH)
    def predict(self, instances: list[dict]) -> list[list[float]]:
        return predict(self.session, np.stack([decode(one) for one in instances])).tolist()
