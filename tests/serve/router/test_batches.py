"""Requests of tensors, split and put together."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from argosy.errors import InvalidInput
from argosy.serve.router.batches import join_columns, join_v2, split_columns, split_v2
from argosy.serve.router.failures import PartFailed
from argosy.serve.router.parts import Part

TENSORS = arrays.arrays(np.int64, arrays.array_shapes(min_dims=1, max_dims=3, max_side=9))


@given(TENSORS, st.integers(1, 10), st.booleans())
def test_tensors_of_v2_are_the_same_after_splitting_and_joining(array: Any, rows: int, nested: bool) -> None:
    data = array.tolist() if nested else array.ravel().tolist()
    tensor = {"name": "x", "datatype": "INT64", "shape": list(array.shape), "data": data}
    joined: dict[str, dict[str, Any]] = {}
    first = 0
    for part in split_v2({"inputs": [tensor], "parameters": {"p": 1}}, rows):
        document = json.loads(part.body)
        assert document["parameters"] == {"p": 1}
        assert (part.first, document["inputs"][0]["shape"][0]) == (first, part.count)
        assert part.count <= rows
        first += part.count
        join_v2(part, {"outputs": document["inputs"]}, joined)
    assert joined == {"x": tensor}


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30), st.integers(1, 10), st.booleans())
def test_columns_are_the_same_after_splitting_and_joining(values: list[int], rows: int, named: bool) -> None:
    inputs: Any = {"a": values, "b": [[one] for one in values]} if named else values
    joined: dict[str, list[Any]] = {}
    for part in split_columns({"inputs": inputs, "signature_name": "s"}, rows):
        document = json.loads(part.body)
        assert document["signature_name"] == "s"
        join_columns(part, {"outputs": document["inputs"]}, joined)
    assert joined == (inputs if named else {"": inputs})


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"shape": [2, 2], "data": [1, 2, 3]}, "has 3 values, but its shape [2, 2] needs 4"),
        ({"shape": [0], "data": []}, "has the shape [0], expected sizes from 1"),
        ({"shape": "x", "data": [1]}, "has the shape 'x'"),
        ({"shape": [True], "data": [1]}, "has the shape [True]"),
        ({"shape": [1]}, "has no 'data' in JSON"),
    ],
)
def test_a_tensor_that_can_not_be_split_is_named(tensor: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(split_v2({"inputs": [{"name": "x", **tensor}]}, 2))
    assert "input 'x'" in caught.value.message
    assert words in caught.value.message


def test_inputs_of_unequal_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="unequal numbers of instances: 'a' 2, 'b' 1"):
        list(split_columns({"inputs": {"a": [1, 2], "b": [1]}}, 2))


def test_an_answer_that_is_not_one_for_each_instance_is_refused() -> None:
    part = Part(4, 2, b"")
    with pytest.raises(PartFailed, match=r"instances\[4\] to instances\[5\] failed"):
        join_columns(part, {"outputs": [1]}, {})
    with pytest.raises(PartFailed, match="'o' is not one for each instance"):
        join_v2(part, {"outputs": [{"name": "o", "shape": [3], "data": [1, 2, 3]}]}, {})
