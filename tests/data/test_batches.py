"""Global batches: the same for any number of workers, from any step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.data import GlobalBatches
from argosy.errors import InvalidRequest

rows = st.integers(1, 200)
sizes = st.integers(1, 64)
seeds = st.integers(0, 2**63)
epochs = st.integers(0, 1000)


@given(rows=rows, size=sizes, seed=seeds, epoch=epochs, workers=st.sampled_from([1, 2, 3, 4, 7]))
def test_each_example_comes_once_in_an_epoch_whatever_the_ranks(
    rows: int, size: int, seed: int, epoch: int, workers: int
) -> None:
    batches = GlobalBatches(rows, size, seed)
    seen = [
        batches.slice(epoch, step, rank, workers) for step in range(batches.steps) for rank in range(workers)
    ]
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(rows))


@given(rows=rows, size=sizes, seed=seeds, epoch=epochs, data=st.data())
def test_one_two_and_four_workers_see_the_same_global_batch(
    rows: int, size: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    batches = GlobalBatches(rows, size, seed)
    step = data.draw(st.integers(0, batches.steps - 1))
    whole = batches.batch(epoch, step)
    for workers in (1, 2, 4):
        shares = [batches.slice(epoch, step, rank, workers) for rank in range(workers)]
        assert np.array_equal(np.concatenate(shares), whole)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(rows=rows, size=sizes, seed=seeds)
def test_dropping_the_remainder_leaves_out_less_than_a_batch_and_repeats_nothing(
    rows: int, size: int, seed: int
) -> None:
    if rows < size:
        with pytest.raises(InvalidRequest, match="no whole batch"):
            GlobalBatches(rows, size, seed, remainder="drop")
        return
    batches = GlobalBatches(rows, size, seed, remainder="drop")
    seen = np.concatenate([batches.batch(0, step) for step in range(batches.steps)])
    assert len(np.unique(seen)) == len(seen) == rows // size * size


def test_batches_depend_on_seed_epoch_and_step_alone() -> None:
    batches = GlobalBatches(1_000, 32, seed=5)
    later = GlobalBatches(1_000, 32, seed=5)
    expected = [batches.batch(3, step) for step in range(batches.steps)]
    assert np.array_equal(later.batch(3, 17), expected[17])
    assert not np.array_equal(GlobalBatches(1_000, 32, seed=6).batch(3, 17), expected[17])
    assert not np.array_equal(batches.batch(4, 17), expected[17])


def test_many_steps_at_once_are_those_steps() -> None:
    batches = GlobalBatches(1_000, 32, seed=1)
    together = batches.slices(2, 3, 10, rank=1, workers=2)
    assert together.shape == (10, 16)
    for offset in range(10):
        assert np.array_equal(together[offset], batches.slice(2, 3 + offset, 1, 2))


def test_a_batch_far_into_a_trillion_rows_is_made_at_once() -> None:
    batches = GlobalBatches(10**12, 256, seed=0)
    batch = batches.batch(9, batches.steps - 5)
    assert len(np.unique(batch)) == 256
    assert batch.max() < 10**12


def test_a_global_step_has_a_position() -> None:
    batches = GlobalBatches(100, 30, seed=0)
    assert batches.steps == 4
    assert [batches.size(step) for step in range(4)] == [30, 30, 30, 10]
    assert batches.position(9) == (2, 1)


@pytest.mark.parametrize(
    ("epoch", "step", "rank", "workers"), [(-1, 0, 0, 1), (0, 4, 0, 1), (0, -1, 0, 1), (0, 0, 2, 2)]
)
def test_a_place_that_does_not_exist_is_refused(epoch: int, step: int, rank: int, workers: int) -> None:
    with pytest.raises(InvalidRequest):
        GlobalBatches(100, 30, seed=0).slice(epoch, step, rank, workers)


@pytest.mark.parametrize(("rows", "size"), [(0, 1), (1, 0), (-5, 3)])
def test_batches_of_nothing_are_refused(rows: int, size: int) -> None:
    with pytest.raises(InvalidRequest):
        GlobalBatches(rows, size, seed=0)
