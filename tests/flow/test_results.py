"""What a step returned, held against what it declares."""

from __future__ import annotations

import enum
from types import FunctionType
from typing import Any, Literal

import pytest

from argosy.flow.results import misfit


class Aggregate(enum.Enum):
    MEAN = "mean"


def declares(annotation: object) -> FunctionType:
    def function() -> None: ...

    function.__annotations__["return"] = annotation
    return function  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("annotation", "result"),
    [
        (int, 3),
        ("int", 3),
        (int, True),
        (float, 3),
        (None, None),
        (Any, object()),
        (int | None, None),
        (list[int], [1, 2]),
        (list[int], (1, 2)),
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2, 3)),
        (dict[str, list[float | None]], {"a": [1, 2.5, None]}),
        (Aggregate, Aggregate.MEAN),
        (Aggregate, "mean"),
        (Literal[1, "a"], "a"),
        # Serializers say more of these.
        (int, object()),
        (list[float], [float("nan")]),
        (bytes, 3),
        ("NotThere", 3),
    ],
)
def test_what_fits_is_left_alone(annotation: object, result: object) -> None:
    assert misfit(declares(annotation), result) is None


@pytest.mark.parametrize(
    ("annotation", "result", "message"),
    [
        (int, "3", "the result is '3' (str), expected int"),
        (int, None, "the result is None, expected int"),
        (int, 1.5, "the result is 1.5 (float), expected int"),
        (None, 3, "the result is 3 (int), expected None"),
        (str | None, 3, "the result is 3 (int), expected str | None"),
        (list[int], 3, "the result is 3 (int), expected list[int]"),
        (list[int], [1, "2"], "the result[1] is '2' (str), expected int"),
        (tuple[int, str], (1,), "the result is (1,) (tuple), expected tuple[int, str]"),
        (dict[str, list[int]], {"a": [None]}, "the result['a'][0] is None, expected int"),
        (Aggregate, "median", "the result is 'median' (str), expected Literal['mean']"),
        (Literal[1], True, "the result is True (bool), expected Literal[1]"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(annotation: object, result: object, message: str) -> None:
    found = misfit(declares(annotation), result)
    assert found is not None
    assert found[0] == message
