"""A model directory of the benchmarks as the service ``bench``."""

import argosy as ar


@ar.step
def stored(path: str) -> ar.Model:
    return ar.Model(path, name="bench")


@ar.workflow
def served(model: str, replicas: int = 2) -> ar.Endpoint:
    return ar.serve("bench", [stored(model)], replicas=replicas)
