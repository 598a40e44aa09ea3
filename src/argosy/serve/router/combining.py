"""One answer of the members' answers: by an aggregate, or by a user's function."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from argosy.errors import InvalidRequest, Unavailable
from argosy.serve.router.aggregate import MERGES, Floats, Values
from argosy.serve.router.failures import FunctionFailed
from argosy.serve.router.functions import UserFunction, load
from argosy.serve.router.tensors import UNNAMED, Tensors, alike
from argosy.serve.specs import RouterSpec


class Combiner:
    """Merges what members said. Raises InvalidRequest at once when the options can not be."""

    def __init__(self, spec: RouterSpec) -> None:
        self._members = spec.members
        self._aggregate = spec.aggregate
        self._prefix = f"{spec.service}."
        self._weights = _weights(spec)
        self._function: UserFunction | None = None
        if spec.aggregate == "function":
            if spec.ensemble.function is None:
                raise InvalidRequest(
                    "the aggregate is 'function', but no function is given", hint="give ensemble.function"
                )
            self._function = load(spec.ensemble.function, spec.sources, "the ensemble's function")
        elif spec.aggregate not in MERGES:
            known = ", ".join(map(repr, (*MERGES, "function")))
            raise InvalidRequest(f"there is no aggregate {spec.aggregate!r}", hint=f"use one of {known}")

    async def combine(self, answers: Mapping[str, Tensors]) -> dict[str, Floats]:
        """One array for each output. Raises MemberFailed, FunctionFailed or Unavailable."""
        if self._function is not None:
            return await self._by_function(self._function, answers)
        alike(answers)
        merge = MERGES[self._aggregate]
        weights = np.array([self._weights[member] for member in answers])
        if not weights.max() > 0:
            raise Unavailable(
                f"only members of weight 0 answered: {', '.join(answers)}", hint="send the request again"
            )
        first = next(iter(answers.values()))
        return {
            name: merge(np.stack([tensors.values[name] for tensors in answers.values()]), weights)
            for name in first.values
        }

    async def _by_function(self, function: UserFunction, answers: Mapping[str, Tensors]) -> dict[str, Floats]:
        given = {
            member.removeprefix(self._prefix): _plain(tensors.values) for member, tensors in answers.items()
        }
        result = await function.call(given)
        first = next(iter(answers.values()))
        rows = next(len(array) for array in first.values.values())
        return returned(function.name, result, list(first.values), rows)


def returned(function: str, result: Any, names: Sequence[str], rows: int) -> dict[str, Floats]:
    """What a function gave, as arrays by name of output. Raises FunctionFailed when it is no answer."""
    by_name = dict(result) if isinstance(result, Mapping) else {UNNAMED: result}
    if list(by_name) == [UNNAMED] and len(names) == 1:
        by_name = {names[0]: result}
    elif UNNAMED in by_name:
        listed = ", ".join(map(repr, names))
        raise FunctionFailed(
            function, f"it returned {_kind(result)}, expected a mapping of {listed} to arrays"
        )
    if not by_name:
        raise FunctionFailed(function, "it returned an empty mapping")
    return {str(name): _array(function, value, rows) for name, value in by_name.items()}


def _array(function: str, value: Any, rows: int) -> Floats:
    try:
        array: Floats = np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise FunctionFailed(function, f"it returned {_kind(value)}, expected numbers ({error})") from None
    if not array.ndim or len(array) != rows:
        found = f"shape {list(array.shape)}" if array.ndim else _kind(value)
        raise FunctionFailed(function, f"it returned {found}, expected {rows} rows, one for each instance")
    if not np.isfinite(array).all():
        raise FunctionFailed(function, "it returned NaN or infinity, which is not a JSON number")
    return array


def _plain(values: Mapping[str, Values]) -> Values | Mapping[str, Values]:
    """The array itself where there is one, in whatever protocol it was asked for."""
    return next(iter(values.values())) if len(values) == 1 else values


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _weights(spec: RouterSpec) -> dict[str, float]:
    weights = spec.ensemble.weights
    if spec.aggregate != "weighted_mean":
        return dict.fromkeys(spec.members, 1.0)
    if len(weights) != len(spec.members):
        raise InvalidRequest(
            f"{len(weights)} weights are given for {len(spec.members)} members",
            hint="give one weight for each model, in their order",
        )
    if not all(math.isfinite(one) and one >= 0 for one in weights) or not any(weights):
        raise InvalidRequest(
            f"the weights are {list(weights)}, expected numbers from 0, one of them above 0",
            hint="only their proportions count: (2, 1) and (0.5, 0.25) are the same",
        )
    return dict(zip(spec.members, weights, strict=True))
