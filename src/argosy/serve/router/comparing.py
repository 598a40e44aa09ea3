"""How the answers of two revisions compare: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from argosy.errors import ArgosyError
from argosy.serve.http.client import Response
from argosy.serve.router.aggregate import Values
from argosy.serve.router.quorum import Failure, Outcome, why
from argosy.serve.router.tensors import Tensors, read_v1, read_v2


@dataclass(frozen=True, slots=True)
class Tally:
    """All comparisons so far. ``agreements`` are instances whose best class is the same in both answers."""

    requests: int = 0
    failures: int = 0
    instances: int = 0
    agreements: int = 0
    largest_difference: float | None = None

    def view(self) -> dict[str, Any]:
        """The fields of :class:`argosy.api.views.ComparisonView`."""
        return {
            "requests": self.requests,
            "failures": self.failures,
            "instances": self.instances,
            "agreement": self.agreements / self.instances if self.instances else None,
            "largest_difference": self.largest_difference,
        }


@dataclass(frozen=True, slots=True)
class Compared:
    """One request. ``failure`` says how the shadow failed where the serving revision answered."""

    instances: int = 0
    agreements: int = 0
    largest_difference: float | None = None
    failure: str = ""


def add(tally: Tally, compared: Compared) -> Tally:
    differences = [one for one in (tally.largest_difference, compared.largest_difference) if one is not None]
    return replace(
        tally,
        requests=tally.requests + 1,
        failures=tally.failures + bool(compared.failure),
        instances=tally.instances + compared.instances,
        agreements=tally.agreements + compared.agreements,
        largest_difference=max(differences, default=None),
    )


def compare(serving: Outcome, shadow: Outcome, *, is_v2: bool) -> Compared:
    """A request that the serving revision does not answer says nothing of the shadow, whatever that does."""
    if isinstance(serving, Failure) or serving.status != 200:
        return Compared()
    if isinstance(shadow, Failure) or shadow.status != 200:
        return Compared(failure=why(shadow))
    try:
        expected = _read("the serving revision", serving, is_v2)
    except ArgosyError:
        return Compared()
    try:
        found = _read("the shadow", shadow, is_v2)
    except ArgosyError as error:
        return Compared(failure=error.message)
    return _compare(expected, found)


def _read(who: str, response: Response, is_v2: bool) -> Tensors:
    return read_v2(who, response) if is_v2 else read_v1(who, response.body)


def _compare(expected: Tensors, found: Tensors) -> Compared:
    shapes = {name: array.shape for name, array in expected.values.items()}
    others = {name: array.shape for name, array in found.values.items()}
    if shapes != others:
        return Compared(failure=f"its answer has the shapes {others} where {shapes} were expected")
    agrees: Values | None = None
    largest: float | None = None
    for name, array in expected.values.items():
        other = found.values[name]
        same = _agreement(array, other)
        agrees = same if agrees is None else agrees & same
        differences = np.abs(array - other)
        if np.isfinite(differences).any():
            largest = max(largest or 0.0, float(differences[np.isfinite(differences)].max()))
    if agrees is None:
        return Compared()
    return Compared(len(agrees), int(agrees.sum()), largest)


def _agreement(array: Values, other: Values) -> Any:
    """bool[instances]: the same best class, or where an instance has one number only, nearly that number."""
    if array.ndim == 1:
        return np.isclose(array, other, rtol=1e-3, atol=1e-6, equal_nan=True)
    best = _best(array) == _best(other)
    return best.reshape(len(best), -1).all(axis=1)


def _best(array: Values) -> Any:
    return np.nan_to_num(array, nan=-np.inf).argmax(axis=-1)
