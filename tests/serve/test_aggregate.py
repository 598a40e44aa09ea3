"""Answers of members to one answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from argosy.serve.http.failures import MemberFailed
from argosy.serve.router.aggregate import MERGES, aggregate
from argosy.serve.specs import AGGREGATES


def test_the_names_a_deployment_may_use_are_those_there_are() -> None:
    assert set(AGGREGATES) == set(MERGES)


def test_the_mean_is_taken_instance_by_instance_and_class_by_class() -> None:
    answers = {
        "a": b'{"predictions": [[0.2, 0.8], [1.0, 0.0]]}',
        "b": b'{"predictions": [[0.4, 0.6], [0.5, 0.5]]}',
    }
    merged = json.loads(aggregate(MERGES["mean"], answers))
    np.testing.assert_allclose(merged["predictions"], [[0.3, 0.7], [0.75, 0.25]], rtol=1e-6)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "its answer holds no predictions"),
        (b"{}", "its answer holds no predictions"),
        (b'{"predictions": [["x"]]}', "its answer holds no predictions"),
        (b'{"predictions": [1, 2]}', "it answered shape [2]"),
        (b'{"predictions": [[1, 2, 3]]}', "it answered shape [1, 3] where member 'a' answered [1, 2]"),
    ],
)
def test_a_member_whose_answer_does_not_fit_is_named(body: bytes, reason: str) -> None:
    with pytest.raises(MemberFailed) as caught:
        aggregate(MERGES["mean"], {"a": b'{"predictions": [[0.5, 0.5]]}', "b": body})
    assert "member 'b'" in caught.value.message
    assert reason in caught.value.message
