"""A rank's chunks of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy import data
from argosy.data.loading import BatchLoader, share
from argosy.data.reader import Columns, SplitReader
from argosy.errors import CorruptArtifact


def split_of(directory: Path, rows: int) -> SplitReader:
    writer = data.DatasetWriter(directory, {"labels": data.Column("int64", ())}, shard_bytes=100)
    writer.append("train", {"labels": np.arange(rows)})
    writer.finish(name="numbers")
    return data.open_dataset(directory).split("train")


def labels_of(columns: Columns) -> np.ndarray:
    return columns["labels"].copy()


@given(
    rows=st.integers(1, 120),
    size=st.integers(1, 40),
    workers=st.sampled_from([1, 2, 3, 4]),
    interval=st.integers(1, 9),
    first=st.integers(0, 6),
)
def test_the_ranks_read_the_rest_of_the_epoch_with_the_weight_of_one_mean(
    tmp_path_factory: pytest.TempPathFactory, rows: int, size: int, workers: int, interval: int, first: int
) -> None:
    split = split_of(tmp_path_factory.mktemp("rows"), rows)
    batches = data.GlobalBatches(rows, size, seed=rows)
    first = min(first, batches.steps)
    seen: list[int] = []
    weights = np.zeros(batches.steps)
    for rank in range(workers):
        loader = BatchLoader(split, batches, labels_of, rank=rank, workers=workers, intervals=(interval, 5))
        step = first
        for chunk in loader.chunks(3, first):
            assert chunk.first_step == step
            assert chunk.end_step % interval == 0 or chunk.end_step % 5 == 0 or chunk.steps < interval
            step = chunk.end_step
            counted = chunk.weights.reshape(-1) > 0
            seen += chunk.values[counted].tolist()
            weights[chunk.first_step : chunk.end_step] += chunk.weights.sum(axis=1)
        assert step == batches.steps
    expected = [batches.batch(3, step).tolist() for step in range(first, batches.steps)]
    assert sorted(seen) == sorted(row for batch in expected for row in batch)
    assert np.allclose(weights[first:], 1)


def test_a_rank_without_a_share_takes_part_with_an_example_that_counts_nothing(tmp_path: Path) -> None:
    batches = data.GlobalBatches(9, 4, seed=0)
    loader = BatchLoader(split_of(tmp_path, 9), batches, labels_of, rank=0, workers=2)
    *_, last = loader.chunks(0)
    assert last.weights.tolist() == [[0.0]]
    assert last.values.tolist() == batches.batch(0, 2).tolist()


def test_a_corrupt_shard_ends_the_iteration_with_its_error(tmp_path: Path) -> None:
    split = split_of(tmp_path, 50)
    (tmp_path / "train-00003.labels.npy").write_bytes(b"")
    with pytest.raises(CorruptArtifact, match="train-00003"):
        list(BatchLoader(split, data.GlobalBatches(50, 10, seed=0), labels_of).chunks(0))


@given(rows=st.integers(0, 1000), workers=st.integers(1, 9))
def test_shares_partition_the_rows(rows: int, workers: int) -> None:
    parts = [range(*share(rows, rank, workers)) for rank in range(workers)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
