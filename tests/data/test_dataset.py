"""Datasets on disk: written in shards, read anywhere, refused when damaged."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy import data
from argosy.artifacts.handles import Dataset
from argosy.errors import CorruptArtifact, InvalidInput, InvalidRequest, NotFound

COLUMNS = {"images": data.Column("uint8", (2, 3)), "labels": data.Column("int64", ())}


def rows_of(start: int, stop: int) -> dict[str, np.ndarray]:
    labels = np.arange(start, stop)
    return {"images": (labels[:, None, None] + np.arange(6).reshape(2, 3)).astype(np.uint8), "labels": labels}


def write(directory: Path, rows: int = 50, block: int = 7, shard_rows: int = 16) -> data.DatasetReader:
    writer = data.DatasetWriter(directory, COLUMNS, shard_bytes=shard_rows * 14)
    for start in range(0, rows, block):
        writer.append("train", rows_of(start, min(start + block, rows)))
    writer.append("test", rows_of(1000, 1003))
    writer.finish(name="numbers", classes=("even", "odd"), source="made", fingerprint="f", seed=4)
    return data.open_dataset(directory)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    reader = write(tmp_path)
    manifest = reader.manifest
    assert (manifest.name, reader.classes, manifest.seed) == ("numbers", ("even", "odd"), 4)
    assert [shard.rows for shard in manifest.splits["train"]] == [16, 16, 16, 2]
    assert manifest.rows("test") == 3
    split = reader.split("train")
    assert len(split) == 50
    everything = split.read(0, 50)
    assert np.array_equal(everything["labels"], np.arange(50))
    assert np.array_equal(everything["images"], rows_of(0, 50)["images"])
    assert [len(block["labels"]) for block in split.blocks(20)] == [20, 20, 10]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> data.DatasetReader:
    return write(tmp_path_factory.mktemp("numbers"))


@given(indices=st.lists(st.integers(0, 49), max_size=80))
def test_rows_come_in_the_order_asked_for(numbers: data.DatasetReader, indices: list[int]) -> None:
    split = numbers.split("train")
    found = split.gather(indices)
    assert found["labels"].tolist() == indices
    assert np.array_equal(found["images"][:, 0, 0], np.array(indices, np.uint8))


def test_rows_are_gathered_into_given_arrays(tmp_path: Path) -> None:
    split = write(tmp_path).split("train")
    out = split.allocate(3)
    assert split.gather([40, 0, 20], out) is out
    assert out["labels"].tolist() == [40, 0, 20]


def test_shards_are_plain_npy_files_mapped_into_memory(tmp_path: Path) -> None:
    write(tmp_path)
    array = np.load(tmp_path / "train-00001.labels.npy", mmap_mode="r")
    assert isinstance(array, np.memmap)
    assert array.tolist() == list(range(16, 32))


@pytest.mark.parametrize("row", [-1, 50])
def test_a_row_outside_the_split_is_refused(tmp_path: Path, row: int) -> None:
    with pytest.raises(InvalidRequest, match="outside 0 to 49"):
        write(tmp_path).split("train").gather([row])


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        write(tmp_path).split("validation")
    assert "train, test" in caught.value.hint


DAMAGE = {
    "cut": lambda content: content[:-1],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_named_before_a_row_of_it_is_read(tmp_path: Path, damage: str) -> None:
    reader = write(tmp_path)
    shard = tmp_path / "train-00002.images.npy"
    shard.write_bytes(DAMAGE[damage](shard.read_bytes()))
    split = reader.split("train")
    split.gather([0, 31])
    with pytest.raises(CorruptArtifact, match=r"train-00002\.images\.npy") as caught:
        split.gather([32])
    assert "ingest again" in caught.value.hint


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "test-00000.labels.npy").unlink()
    with pytest.raises(CorruptArtifact, match=r"test-00000\.labels\.npy can not be read"):
        reader.split("test").read(0, 1)


def test_a_shard_that_was_verified_and_then_changed_is_verified_again(tmp_path: Path) -> None:
    write(tmp_path).split("test").read(0, 1)
    shard = tmp_path / "test-00000.labels.npy"
    shard.write_bytes(bytes(len(shard.read_bytes())))
    with pytest.raises(CorruptArtifact):
        data.open_dataset(tmp_path).split("test").read(0, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "is not the manifest"),
        ("{", "is not the manifest"),
        ('{"format": "other"}', "is not the manifest"),
        (None, "can not be read"),
    ],
)
def test_a_folder_without_a_right_manifest_is_refused(tmp_path: Path, text: str | None, found: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CorruptArtifact, match=found):
        data.open_dataset(Dataset(tmp_path))


def test_a_manifest_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(CorruptArtifact, match="format version 99"):
        data.open_dataset(tmp_path)


def test_rows_that_do_not_fit_the_schema_are_refused(tmp_path: Path) -> None:
    writer = data.DatasetWriter(tmp_path, COLUMNS)
    good = rows_of(0, 4)
    for wrong, found in (
        ({"images": good["images"]}, "have the columns"),
        (good | {"images": good["images"].astype(np.float32)}, "rows of float32"),
        (good | {"images": good["images"][:, :1]}, r"uint8\[1, 3\]"),
        (good | {"labels": good["labels"][:2]}, "differ in length"),
    ):
        with pytest.raises(InvalidInput, match=found):
            writer.append("train", wrong)
    with pytest.raises(InvalidRequest, match="not a name for a split"):
        writer.append("../train", good)


def test_no_manifest_means_no_dataset(tmp_path: Path) -> None:
    writer = data.DatasetWriter(tmp_path, COLUMNS, shard_bytes=1)
    writer.append("train", rows_of(0, 5))
    with pytest.raises(CorruptArtifact):
        data.open_dataset(tmp_path)


def test_memory_stays_bounded_however_much_is_written_and_read(tmp_path: Path) -> None:
    columns = {"values": data.Column("uint8", (1024,))}
    block = np.ones((256, 1024), np.uint8)
    tracemalloc.start()
    try:
        writer = data.DatasetWriter(tmp_path, columns, shard_bytes=2**20)
        for _ in range(96):
            writer.append("train", {"values": block})
        writer.finish(name="large")
        split = data.open_dataset(tmp_path).split("train")
        out = split.allocate(256)
        for start in range(0, split.rows, 256):
            split.gather(np.arange(start, start + 256), out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert split.rows * 1024 == 24 * 2**20
    assert peak < 4 * 2**20
