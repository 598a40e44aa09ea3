"""From what a person writes on a command line to the values of a workflow's parameters."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import argosy as ar
from argosy.errors import InvalidRequest
from argosy.flow.workflows import Parameter


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@ar.step
def work(value: Any) -> None: ...


@ar.workflow
def everything(
    count: int = 1,
    rate: float = 0.5,
    fast: bool = False,
    name: str = "a",
    limit: int | None = None,
    note: str | None = None,
    sizes: list[int] = [1],  # noqa: B006
    names: list[str] = [],  # noqa: B006
    pair: tuple[int, str] = (1, "a"),
    weights: dict[str, float] = {},  # noqa: B006
    mode: Literal["mean", "vote"] = "mean",
    color: Color = Color.RED,
    value: Any = None,
    epochs: Annotated[int, "passes over the data"] = 3,
) -> None:
    """Takes one of each.

    And says so.
    """
    work(color)


@ar.workflow
def needs(name: str, count: int) -> None:
    work(name)


PARSED = [
    ("count", "5", 5),
    ("count", "-5", -5),
    ("rate", "5", 5.0),
    ("rate", "1e-3", 0.001),
    ("fast", "true", True),
    ("fast", "Yes", True),
    ("fast", "1", True),
    ("fast", "no", False),
    ("fast", "0", False),
    ("name", "5", "5"),
    ("name", "", ""),
    ("limit", "5", 5),
    ("limit", "none", None),
    ("note", "null", None),
    ("note", "5", "5"),
    ("sizes", "1,2,3", [1, 2, 3]),
    ("sizes", "1, 2", [1, 2]),
    ("sizes", "[1, 2]", [1, 2]),
    ("sizes", "", []),
    ("names", "a,b", ["a", "b"]),
    ("names", '["a,b"]', ["a,b"]),
    ("pair", "2,b", [2, "b"]),
    ("pair", '[2, "b"]', [2, "b"]),
    ("weights", '{"a": 1, "b": 0.5}', {"a": 1, "b": 0.5}),
    ("mode", "vote", "vote"),
    ("color", "blue", "blue"),
    ("value", "5", 5),
    ("value", '{"a": []}', {"a": []}),
    ("value", "cnn", "cnn"),
]


@pytest.mark.parametrize(("name", "text", "value"), PARSED)
def test_a_text_becomes_a_value_of_the_parameters_type(name: str, text: str, value: Any) -> None:
    parsed = everything.parse_parameters({name: text})
    assert parsed == {name: value}
    assert type(parsed[name]) is type(value)
    assert everything.trace(**parsed).parameters[name] == value


UNPARSED = [
    ("count", "five", "takes int"),
    ("count", "5.0", "takes int"),
    ("count", "", "takes int"),
    ("count", "9" * 30, "takes int"),
    ("rate", "fast", "takes float"),
    ("rate", "nan", "takes float"),
    ("rate", "inf", "takes float"),
    ("fast", "maybe", "takes bool"),
    ("limit", "many", "takes int | None"),
    ("sizes", "1,b", "takes list[int]"),
    ("sizes", "[1, 2", "takes list[int]"),
    ("sizes", '["a"]', "takes list[int]"),
    ("sizes", "[" * 5000, "takes list[int]"),
    ("pair", "1", "takes tuple[int, str]"),
    ("pair", "[1]", "takes tuple[int, str]"),
    ("weights", "a=1", "takes dict[str, float]"),
    ("weights", '{"a": "b"}', "takes dict[str, float]"),
    ("weights", '{"a": NaN}', "takes dict[str, float]"),
    ("mode", "median", "takes Literal['mean', 'vote']"),
    ("color", "green", "takes Literal['red', 'blue']"),
]


@pytest.mark.parametrize(("name", "text", "said"), UNPARSED)
def test_a_text_that_does_not_fit_is_refused_with_name_text_and_type(name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        everything.parse_parameters({name: text})
    assert f"parameter {name!r} {said}, but gets {text!r}"[:70] in caught.value.message
    assert caught.value.hint


def test_an_unknown_parameter_has_a_hint() -> None:
    with pytest.raises(InvalidRequest) as caught:
        everything.parse_parameters({"epoch": "5"})
    assert caught.value.message == "workflow 'everything' has no parameter 'epoch'"
    assert caught.value.hint == "did you mean epochs?"
    with pytest.raises(InvalidRequest, match="has no parameter 'epoch'"):
        everything.trace(epoch=5)


def test_all_that_does_not_fit_is_said_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        everything.parse_parameters({"count": "a", "rate": "b", "other": "c"})
    for name in ("count", "rate", "other"):
        assert f"{name!r}" in caught.value.message
    assert len(caught.value.context["problems"]) == 3


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        needs.trace()
    assert "'name' of workflow 'needs' is missing" in caught.value.message
    assert "'count' of workflow 'needs' is missing" in caught.value.message
    assert "--count" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"), [("count", "5"), ("fast", 1), ("sizes", [0.5]), ("color", "green")]
)
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"parameter '{name}' takes"):
        everything.trace(**{name: value})


def test_values_arrive_as_the_annotations_promise() -> None:
    seen: list[Any] = []

    @ar.workflow
    def main(color: Color = Color.RED, pair: tuple[int, ...] = (1,)) -> None:
        seen.append((color, pair))
        work(color)

    graph = main.trace(color="blue", pair=[1, 2])
    assert seen == [(Color.BLUE, (1, 2))]
    assert graph.parameters == {"color": "blue", "pair": [1, 2]}
    assert main.trace(color=Color.BLUE, pair=(1, 2)) == graph


def test_parameters_say_what_a_command_line_needs() -> None:
    parameters = {parameter.name: parameter for parameter in everything.parameters}
    assert parameters["epochs"] == Parameter("epochs", "int", 3, False, "passes over the data")
    assert parameters["color"] == Parameter("color", "Literal['red', 'blue']", "red", False)
    assert needs.parameters[0] == Parameter("name", "str", None, True)
    assert everything.doc == "Takes one of each."


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_every_number_is_read_as_it_is_written(count: int, rate: float, fast: bool) -> None:
    texts = {"count": str(count), "rate": repr(rate), "fast": str(fast)}
    assert everything.parse_parameters(texts) == {"count": count, "rate": rate, "fast": fast}


@given(st.lists(st.integers(-(2**53), 2**53)), st.dictionaries(st.text(), st.integers(-9, 9)))
def test_every_list_and_dict_is_read_from_its_json(sizes: list[int], weights: dict[str, int]) -> None:
    texts = {"sizes": json.dumps(sizes), "weights": json.dumps(weights)}
    assert everything.parse_parameters(texts) == {"sizes": sizes, "weights": weights}


@given(st.sampled_from(sorted(everything.types.parameters)), st.text())
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    try:
        values = everything.parse_parameters({name: text})
    except InvalidRequest as error:
        assert name in error.message  # noqa: PT017
    else:
        assert set(values) == {name}
