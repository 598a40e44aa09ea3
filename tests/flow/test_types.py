"""The types that flow: from annotations, as text, and which fits which."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import argosy as ar
from argosy.errors import InvalidRequest
from argosy.flow.annotations import Refused, check_parameter, from_annotation, output_name, reviver
from argosy.flow.types import (
    NAMES,
    Choice,
    DictOf,
    ListOf,
    Plain,
    TupleOf,
    Type,
    accepts,
    conforms,
    either,
    parse_type,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(TypedDict):
    x: int


class Thing:
    pass


Epochs = NewType("Epochs", int)

ANNOTATIONS: list[tuple[Any, str]] = [
    (None, "None"),
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "str"),
    (bytes, "bytes"),
    (Any, "Any"),
    (object, "Any"),
    (list, "list[Any]"),
    (list[int], "list[int]"),
    (Sequence[str], "list[str]"),
    (tuple[int, ...], "list[int]"),
    (tuple[int, str], "tuple[int, str]"),
    (dict, "dict[str, Any]"),
    (dict[str, float], "dict[str, float]"),
    (Mapping[str, list[int]], "dict[str, list[int]]"),
    (Point, "dict[str, Any]"),
    (int | None, "int | None"),
    (Optional[str], "str | None"),  # noqa: UP045
    (Literal["a", 1, None], "Literal['a', 1, None]"),
    (Color, "Literal['red', 'blue']"),
    (Literal[Color.RED], "Literal['red']"),
    (Annotated[int, "how often"], "int"),
    (Epochs, "int"),
    (np.ndarray, "numpy"),
    (npt.NDArray[np.float32], "numpy"),
    (ar.FileTree, "tree"),
    (ar.Dataset, "dataset"),
    (ar.Model, "model"),
    (list[ar.Model], "list[model]"),
    (ar.Model | None, "model | None"),
    (ar.Endpoint, "endpoint"),
    (Thing, "pickle"),
]


@pytest.mark.parametrize(("annotation", "text"), ANNOTATIONS, ids=lambda value: str(value))
def test_an_annotation_has_a_type_that_is_written_and_read(annotation: Any, text: str) -> None:
    type = from_annotation(annotation)
    assert str(type) == text
    assert parse_type(text) == type


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (pathlib.Path, "FileTree"),
        (set[int], "list"),
        (dict[int, str], "text keys"),
        (np.float32, "float"),
        (tuple, "tuple"),
        (enum.Enum("Odd", {"A": 1.5}), "str"),
    ],
)
def test_an_annotation_without_a_type_is_refused_with_a_hint(annotation: Any, said: str) -> None:
    with pytest.raises(Refused) as caught:
        from_annotation(annotation)
    assert said in f"{caught.value.message} {caught.value.hint}"


OUTPUTS = [
    (None, "json"),
    (bool, "json"),
    (int, "json"),
    (float, "json"),
    (str, "json"),
    (list[int], "json"),
    (dict[str, Any], "json"),
    (Any, "json"),
    (Point, "json"),
    (bytes, "bytes"),
    (np.ndarray, "numpy"),
    (npt.NDArray[np.uint8], "numpy"),
    (ar.FileTree, "tree"),
    (ar.Dataset, "dataset"),
    (ar.Model, "model"),
    (list[ar.Model], "list[model]"),
    (list[np.ndarray], "list[numpy]"),
]


@pytest.mark.parametrize(("annotation", "output"), OUTPUTS, ids=lambda value: str(value))
def test_the_return_annotation_says_how_a_result_is_stored(annotation: Any, output: str) -> None:
    assert output_name(from_annotation(annotation), None) == output


@pytest.mark.parametrize(
    "annotation",
    [Thing, dict[str, ar.Model], ar.Model | None, list[list[ar.Model]], ar.Endpoint, list[Thing]],
)
def test_a_result_that_can_not_be_stored_is_refused(annotation: Any) -> None:
    with pytest.raises(Refused) as caught:
        output_name(from_annotation(annotation), None)
    assert "serializer='pickle'" in caught.value.hint


def test_pickle_stores_anything_when_asked_for() -> None:
    assert output_name(from_annotation(Thing), "pickle") == "pickle"
    assert output_name(from_annotation(int), "pickle") == "pickle"


def test_a_parameter_that_hides_artifacts_in_a_value_is_refused() -> None:
    check_parameter(from_annotation(list[ar.Model]))
    check_parameter(from_annotation(ar.Model | None))
    with pytest.raises(Refused):
        check_parameter(from_annotation(dict[str, ar.Model]))


FITS = [
    ("float", "int", True),
    ("int", "float", False),
    ("int", "bool", True),
    ("str", "int", False),
    ("dataset", "model", False),
    ("tree", "model", True),
    ("tree", "dataset", True),
    ("model", "tree", False),
    ("list[model]", "list[model]", True),
    ("list[model]", "list[dataset]", False),
    ("list[model]", "model", False),
    ("model", "list[model]", False),
    ("int | None", "int", True),
    ("int", "int | None", False),
    ("int | str | None", "int | None", True),
    ("Any", "model", True),
    ("int", "Any", True),
    ("dict[str, Any]", "Any", True),
    ("model", "Any", False),
    ("str", "Literal['a', 'b']", True),
    ("Literal['a', 'b', 'c']", "Literal['a', 'b']", True),
    ("Literal['a']", "Literal['a', 'b']", False),
    ("Literal['a']", "str", False),
    ("list[int]", "tuple[int, int]", True),
    ("tuple[int, int]", "tuple[int, int]", True),
    ("tuple[int, int]", "tuple[int]", False),
    ("dict[str, float]", "dict[str, int]", True),
    ("dict[str, int]", "list[int]", False),
    ("pickle", "numpy", False),
]


@pytest.mark.parametrize(("target", "source", "fits"), FITS)
def test_which_type_fits_which(target: str, source: str, fits: bool) -> None:
    assert accepts(parse_type(target), parse_type(source)) is fits


CONFORMS = [
    ("int", 5, True),
    ("int", 5.0, False),
    ("int", "5", False),
    ("float", 5, True),
    ("float", float("nan"), False),
    ("str", None, False),
    ("str | None", None, True),
    ("bool", 1, False),
    ("list[int]", [1, 2], True),
    ("list[int]", [1, "2"], False),
    ("dict[str, list[int]]", {"a": [1]}, True),
    ("dict[str, int]", {"a": None}, False),
    ("Literal['a', 1]", 1, True),
    ("Literal['a', 1]", True, False),
    ("Literal['a', 1]", "b", False),
    ("tuple[int, str]", [1, "a"], True),
    ("tuple[int, str]", [1], False),
    ("Any", {"a": [None]}, True),
    ("model", "cnn", False),
    ("bytes", "cnn", False),
]


@pytest.mark.parametrize(("type", "value", "fits"), CONFORMS)
def test_which_value_is_of_which_type(type: str, value: Any, fits: bool) -> None:
    assert conforms(parse_type(type), value) is fits


@pytest.mark.parametrize(
    "text",
    ["", "Model", "list", "dict[int, str]", "list[", "int | unknown", "Literal[1.5]", "f()", "(" * 500],
)
def test_a_text_that_names_no_type_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a type"):
        parse_type(text)


def types() -> st.SearchStrategy[Type]:
    plain = st.sampled_from(sorted(NAMES)).map(Plain)
    choice = st.lists(st.text() | st.integers() | st.booleans() | st.none(), min_size=1, max_size=3)
    return st.recursive(
        plain | choice.map(lambda values: Choice(tuple(values))),
        lambda inner: (
            inner.map(ListOf)
            | inner.map(DictOf)
            | st.lists(inner, min_size=1, max_size=3).map(lambda items: TupleOf(tuple(items)))
            | st.lists(inner, min_size=2, max_size=3).map(either)
        ),
        max_leaves=6,
    )


@given(types())
def test_every_type_is_read_back_as_written(type: Type) -> None:
    assert parse_type(str(type)) == type


@given(types())
def test_every_type_fits_itself_and_anything(type: Type) -> None:
    assert accepts(type, type)
    assert accepts(Plain("Any"), type)


@given(types(), types(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()))
def test_a_value_of_a_type_is_of_every_type_that_takes_it(wide: Type, narrow: Type, value: Any) -> None:
    if (
        conforms(narrow, value)
        and narrow != Plain("Any")
        and "Any" not in str(narrow)
        and accepts(wide, narrow)
    ):
        assert conforms(wide, value)


REVIVED: list[tuple[Any, Any, Any]] = [
    (Color, "red", Color.RED),
    (Color | None, None, None),
    (Color | None, "blue", Color.BLUE),
    (list[Color], ["red"], [Color.RED]),
    (dict[str, Color], {"a": "red"}, {"a": Color.RED}),
    (tuple[int, Color], [1, "red"], (1, Color.RED)),
    (tuple[int, ...], [1, 2], (1, 2)),
    (Literal[Color.RED], "red", Color.RED),
    (Annotated[Color, "doc"], "red", Color.RED),
    (ar.Endpoint, {"name": "a", "url": "http://b"}, ar.Endpoint("a", "http://b")),
]


@pytest.mark.parametrize(("annotation", "json", "value"), REVIVED, ids=lambda value: str(value))
def test_a_json_value_becomes_what_the_annotation_promises(annotation: Any, json: Any, value: Any) -> None:
    revive = reviver(annotation)
    assert revive is not None
    assert revive(json) == value


@pytest.mark.parametrize(
    "annotation", [int, list[int], dict[str, Any], ar.Model, int | None, list, Point, Thing]
)
def test_other_values_are_left_alone(annotation: Any) -> None:
    assert reviver(annotation) is None
