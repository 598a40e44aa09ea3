"""LitServe: two workers, two API processes, batches that wait for at most a millisecond, the fast queue."""

# mypy: ignore-errors
# Only the environment of this peer has its packages.

import litserve
import numpy as np
from decoding import MAX_BATCH, PORT, decode, load, predict


class Classifier(litserve.LitAPI):
    def setup(self, device):
        self.session = load()

    def decode_request(self, request):
        return np.stack([decode(instance) for instance in request["instances"]])

    def batch(self, inputs):
        self.sizes = [len(images) for images in inputs]
        return np.concatenate(inputs)

    def predict(self, images):
        return predict(self.session, images)

    def unbatch(self, output):
        return np.split(output, np.cumsum(self.sizes)[:-1])

    def encode_response(self, output):
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    api = Classifier(max_batch_size=MAX_BATCH, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=2,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
