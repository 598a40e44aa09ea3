"""Ray Serve: two replicas that batch. With RAY_SERVE_ENABLE_HA_PROXY=1 its ingress is HAProxy."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import signal
import tempfile

import numpy as np
import ray
from decoding import MAX_BATCH, PORT, decode, load, predict
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=2, max_ongoing_requests=2 * MAX_BATCH, ray_actor_options={"num_cpus": 0.5})
class Classifier:
    def __init__(self) -> None:
        self.session = load()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.001)
    async def classify(self, requests: list) -> list:
        images = [np.stack([decode(one) for one in instances]) for instances in requests]
        rows = predict(self.session, np.concatenate(images))
        ends = np.cumsum([len(one) for one in images])[:-1]
        return [part.tolist() for part in np.split(rows, ends)]

    async def __call__(self, request: Request) -> dict:
        return {"predictions": await self.classify((await request.json())["instances"])}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=tempfile.gettempdir())
    serve.start(http_options={"host": "127.0.0.1", "port": PORT, "access_log": False})
    serve.run(Classifier.options(logging_config={"enable_access_log": False}).bind(), route_prefix="/predict")
    signal.signal(signal.SIGTERM, lambda *_: exit(0))
    signal.pause()
