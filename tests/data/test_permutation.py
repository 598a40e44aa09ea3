"""The order of rows: a bijection for every key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.data.permutation import Permutation
from argosy.errors import InvalidRequest

keys = st.tuples(st.integers(-(2**70), 2**70), st.integers(0, 2**40))


@given(rows=st.integers(1, 3_000), key=keys)
def test_every_row_comes_once_for_every_key(rows: int, key: tuple[int, ...]) -> None:
    order = Permutation(rows, key)(np.arange(rows))
    assert np.array_equal(np.sort(order), np.arange(rows))


@given(rows=st.integers(1, 2**61), key=keys, at=st.floats(0, 1, exclude_max=True))
def test_the_inverse_leads_back_from_any_row_of_any_number(
    rows: int, key: tuple[int, ...], at: float
) -> None:
    positions = np.array([min(int(at * rows), rows - 1), 0, rows - 1])
    order = Permutation(rows, key)
    there = order(positions)
    assert there.min() >= 0
    assert there.max() < rows
    assert np.array_equal(order.inverse(there), positions)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 127, 128, 129, 55_000, 65_536, 65_537])
def test_sizes_around_powers_of_two_are_bijections(rows: int) -> None:
    order = Permutation(rows, (7, 1))
    assert np.array_equal(np.sort(order(np.arange(rows))), np.arange(rows))
    assert np.array_equal(order.inverse(order(np.arange(rows))), np.arange(rows))


def test_the_order_is_pinned_so_that_a_resumed_run_on_a_new_version_goes_on_with_it() -> None:
    assert Permutation(55_000, (0, 0))(np.arange(6)).tolist() == PINNED


PINNED = [15637, 25997, 14831, 54217, 49294, 33188]


def test_orders_look_random() -> None:
    """No correlation of position and row, neighbours spread, keys independent: within 4 sigma."""
    rows = 20_000
    positions = np.arange(rows)
    first, second = Permutation(rows, (0, 0))(positions), Permutation(rows, (0, 1))(positions)
    limit = 4 / np.sqrt(rows)
    assert abs(np.corrcoef(positions, first)[0, 1]) < limit
    assert abs(np.corrcoef(first, second)[0, 1]) < limit
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < limit
    halves = np.bincount(first[: rows // 2] * 10 // rows, minlength=10)
    assert np.abs(halves - rows / 20).max() < 4 * np.sqrt(rows / 20)
    # A random permutation leaves one row in place on average.
    assert (first == positions).sum() < 10


@pytest.mark.parametrize("rows", [0, -1, 2**62])
def test_no_rows_and_too_many_are_refused(rows: int) -> None:
    with pytest.raises(InvalidRequest):
        Permutation(rows, (0,))


@pytest.mark.parametrize("position", [-1, 10])
def test_a_position_outside_is_refused(position: int) -> None:
    with pytest.raises(IndexError):
        Permutation(10, (0,))([position])
