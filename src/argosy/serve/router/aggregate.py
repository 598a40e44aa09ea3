"""Merging what the members of an ensemble answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from argosy.serve.http.failures import MemberFailed

Predictions = NDArray[np.float64]
Merge = Callable[[Sequence[Predictions]], NDArray[np.floating]]


def mean(members: Sequence[Predictions]) -> NDArray[np.float32]:
    """The average of the members' probabilities, float32[instances, classes]."""
    result: NDArray[np.float32] = np.mean(np.stack(members), axis=0).astype(np.float32)
    return result


# The keys are :data:`argosy.serve.specs.AGGREGATES`.
MERGES: Mapping[str, Merge] = {"mean": mean}


def aggregate(merge: Merge, answers: Mapping[str, bytes]) -> bytes:
    """One KServe V1 answer of the members' answers, by member name. Raises MemberFailed."""
    members = {name: predictions(name, body) for name, body in answers.items()}
    (first, expected), *others = ((name, array.shape) for name, array in members.items())
    for name, shape in others:
        if shape != expected:
            raise MemberFailed(
                name, f"it answered shape {list(shape)} where member {first!r} answered {list(expected)}"
            )
    merged = merge(tuple(members.values()))
    return orjson.dumps({"predictions": merged}, option=orjson.OPT_SERIALIZE_NUMPY)


def predictions(name: str, body: bytes) -> Predictions:
    """float64[instances, classes] of a member's answer. Raises MemberFailed."""
    try:
        array = np.asarray(orjson.loads(body)["predictions"], dtype=np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise MemberFailed(name, f"its answer holds no predictions ({error!r})") from None
    if array.ndim != 2:
        raise MemberFailed(name, f"it answered shape {list(array.shape)}, expected [instances, classes]")
    return array
