"""Answers of members to one answer: what must hold of every way to merge them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from argosy.errors import InvalidInput
from argosy.flow.service_rules import AGGREGATES
from argosy.serve.http.client import Response
from argosy.serve.http.failures import MemberFailed
from argosy.serve.router.aggregate import MERGES, majority_vote, mean, weighted_mean
from argosy.serve.router.tensors import Form, alike, read_v1, read_v2, write_v1

Values = NDArray[np.float64]

PROBABILITIES = st.floats(0, 1, width=32)
MEMBERS = arrays.arrays(
    np.float64, arrays.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=PROBABILITIES
)
WEIGHT = st.floats(1e-6, 1e6)


def ones(members: Values) -> Values:
    return np.ones(len(members))


def test_the_names_a_deployment_may_use_are_those_there_are() -> None:
    assert set(AGGREGATES) == {*MERGES, "function"}


def test_the_mean_is_taken_instance_by_instance_and_class_by_class() -> None:
    members = np.array([[[0.2, 0.8], [1.0, 0.0]], [[0.4, 0.6], [0.5, 0.5]]])
    np.testing.assert_allclose(mean(members, ones(members)), [[0.3, 0.7], [0.75, 0.25]], rtol=1e-6)


@given(MEMBERS, st.integers(1, 7), st.data())
def test_the_mean_of_equal_members_is_that_member(members: Values, count: int, data: st.DataObject) -> None:
    equal = np.repeat(members[:1], count, axis=0)
    weights = np.array(data.draw(st.lists(WEIGHT, min_size=count, max_size=count)))
    np.testing.assert_array_equal(mean(equal, weights), members[0].astype(np.float32))
    np.testing.assert_allclose(weighted_mean(equal, weights), members[0], rtol=1e-6, atol=1e-37)


@given(MEMBERS, st.data(), st.floats(1e-9, 1e9))
def test_only_the_proportions_of_weights_count(members: Values, data: st.DataObject, scale: float) -> None:
    weights = np.array(data.draw(st.lists(WEIGHT, min_size=len(members), max_size=len(members))))
    expected = weighted_mean(members, weights)
    np.testing.assert_allclose(weighted_mean(members, weights * scale), expected, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(weighted_mean(members, ones(members)), mean(members, weights), rtol=1e-5)


@given(MEMBERS, st.randoms())
def test_the_order_of_voters_plays_no_part(members: Values, random: st.DataObject) -> None:
    order = list(range(len(members)))
    random.shuffle(order)  # type: ignore[attr-defined]
    before, after = majority_vote(members, ones(members)), majority_vote(members[order], ones(members))
    np.testing.assert_array_equal(before, after)


@given(MEMBERS)
def test_who_wins_the_vote_has_the_most_votes_and_of_those_the_highest_mean(members: Values) -> None:
    answer = majority_vote(members, ones(members))
    assert answer.shape == members.shape[1:]
    np.testing.assert_allclose(answer.sum(axis=-1), 1, rtol=1e-5)
    for row in range(members.shape[1]):
        choices = members[:, row].argmax(axis=1)
        votes = np.bincount(choices, minlength=members.shape[2])
        winner = int(answer[row].argmax())
        assert votes[winner] == votes.max()
        means = np.sort(members[:, row], axis=0).mean(axis=0)
        assert means[winner] == means[votes == votes.max()].max()
        assert np.count_nonzero(answer[row] == answer[row].max()) == 1


def test_a_member_without_numbers_does_not_vote() -> None:
    members = np.array([[[np.nan, np.nan]], [[0.1, 0.9]], [[0.2, 0.8]]])
    np.testing.assert_allclose(majority_vote(members, ones(members)), [[0, 2 / 3]], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "its answer holds no predictions"),
        (b"{}", "its answer holds no predictions"),
        (b"[1]", "its answer holds no predictions"),
        (b'{"predictions": [["x"]]}', "its answer holds no predictions"),
        (b'{"predictions": 1}', "its answer holds no predictions"),
        (b'{"predictions": [1, 2]}', "it answered shape [2] where member 'a' answered [1, 2]"),
        (b'{"predictions": [[1, 2, 3]]}', "it answered shape [1, 3] where member 'a' answered [1, 2]"),
        (b'{"predictions": [{"x": 1}]}', "it answered the outputs ['x'] where member 'a' answered ['']"),
    ],
)
def test_a_member_whose_answer_does_not_fit_is_named(body: bytes, reason: str) -> None:
    first = read_v1("a", b'{"predictions": [[0.5, 0.5]]}')
    with pytest.raises(MemberFailed) as caught:
        alike({"a": first, "b": read_v1("b", body)})
    assert "member 'b'" in caught.value.message
    assert reason in caught.value.message


def test_several_outputs_are_written_as_they_were_read() -> None:
    for body in (b'{"predictions":[{"x":1.0,"y":[2.0]}]}', b'{"outputs":{"x":[1.0],"y":[[2.0]]}}'):
        tensors = read_v1("a", body)
        values = {name: array.astype(np.float32) for name, array in tensors.values.items()}
        assert write_v1(tensors.form, values) == body


def test_binary_tensors_of_a_member_are_read() -> None:
    head = (
        b'{"outputs":[{"name":"p","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},'
        b'{"name":"q","datatype":"FP64","shape":[1],"data":[3]}]}'
    )
    body = head + np.array([0.25, 0.75], "<f4").tobytes()
    tensors = read_v2("a", Response(200, body, {b"inference-header-content-length": b"%d" % len(head)}))
    assert tensors.form is Form.V2
    np.testing.assert_array_equal(tensors.values["p"], [[0.25, 0.75]])
    np.testing.assert_array_equal(tensors.values["q"], [3])


def test_what_is_not_floating_point_can_not_be_merged() -> None:
    body = b'{"outputs":[{"name":"l","datatype":"BYTES","shape":[1],"data":["cat"]}]}'
    with pytest.raises(InvalidInput, match="'l' is BYTES, and only floating point can be merged"):
        read_v2("a", Response(200, body, {}))
