"""One gang of the main job, alone; stands beside a copy of the example it takes the steps from."""

from fashion_mnist import ingest, train

import argosy as ar
from argosy import data


@ar.workflow
def one_training(epochs: int = 3) -> ar.Model:
    return train(ingest(data.locate_fashion_mnist(), 0), "cnn", epochs, 0)
