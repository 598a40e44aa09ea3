"""The strict reader of IDX files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.data.idx import IdxFile, read_pairs
from argosy.errors import InvalidInput

from .conftest import idx, images_of

IMAGES = images_of(9)
GOOD = idx(IMAGES)
ZIPPED = gzip.compress(GOOD, mtime=0)


def read(path: Path, content: bytes, block: int = 4) -> np.ndarray:
    path.write_bytes(content)
    with IdxFile(path, dimensions=3) as file:
        return np.concatenate([part.copy() for part in file.blocks(block)])


@pytest.mark.parametrize("content", [GOOD, ZIPPED], ids=["plain", "gzip"])
@pytest.mark.parametrize("block", [1, 4, 9, 100])
def test_values_come_back_in_order_whatever_the_block(tmp_path: Path, content: bytes, block: int) -> None:
    assert np.array_equal(read(tmp_path / "images", content, block), IMAGES)


FAULTS = {
    "an empty file": (b"", "starts with nothing"),
    "another format": (b"\x89PNG" + GOOD, "starts with 89504e47"),
    "another type of value": (idx(IMAGES, type_code=0x0D), "type 0x0d"),
    "another number of dimensions": (idx(np.zeros(5, np.uint8)), "has 1 dimensions; expected 3"),
    "a header that is cut": (GOOD[:10], "ends inside its header, after 10 bytes; expected 16"),
    "no rows": (idx(np.zeros((0, 28, 28), np.uint8)), "claims the shape (0, 28, 28)"),
    "more rows than any disk has": (idx(IMAGES, dimensions=(2**32 - 1, 2**16, 2**16)), "claims the shape"),
    "values that are cut": (GOOD[:-1], "ends after 7055 bytes of values; expected 7056 for the 9 x 28 x 28"),
    "fewer values than promised": (idx(IMAGES, dimensions=(10, 28, 28)), "ends after 7056 bytes"),
    "values after the end": (GOOD + b"\x07", "goes on with 0x07 after the last value"),
    "a gzip file that is cut": (ZIPPED[:-20], "is a truncated gzip file"),
    "a gzip file without its checksum": (ZIPPED[:-8], "is a truncated gzip file"),
    "a gzip file with a flipped checksum": (ZIPPED[:-8] + bytes(4) + ZIPPED[-4:], "is a damaged gzip file"),
    "a gzip file with garbage behind": (ZIPPED + b"garbage", "is a damaged gzip file"),
    "a second gzip member": (ZIPPED + gzip.compress(b"x"), "goes on with 0x78"),
    "a gzip file with a broken block": (ZIPPED[:40] + b"\xff" * 40 + ZIPPED[80:], "gzip file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_with_a_fault_is_refused_by_name_and_with_what_was_found(tmp_path: Path, fault: str) -> None:
    content, found = FAULTS[fault]
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path / "train-images", content)
    assert str(tmp_path / "train-images") in caught.value.message
    assert found in caught.value.message
    assert "expected" in caught.value.message
    assert caught.value.hint


def test_a_file_named_gz_that_is_not_gzip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a gzip file"):
        read(tmp_path / "images.gz", GOOD)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        IdxFile(tmp_path / "nothing", dimensions=3)


def test_a_header_that_promises_more_than_the_memory_holds_costs_no_memory(tmp_path: Path) -> None:
    promised = idx(IMAGES, dimensions=(2**32 - 1, 2**13, 2**13))
    with pytest.raises(InvalidInput, match="ends after 7056 bytes"):
        read(tmp_path / "images", promised, block=2**20)


@given(cut=st.integers(0, len(ZIPPED) - 1))
def test_no_cut_of_a_gzip_file_goes_unseen(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    with pytest.raises(InvalidInput):
        read(tmp_path_factory.mktemp("cut") / "images", ZIPPED[:cut])


@given(at=st.integers(0, len(ZIPPED) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_gzip_file_changes_a_value(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    flipped = bytearray(ZIPPED)
    flipped[at] ^= 1 << bit
    try:
        found = read(tmp_path_factory.mktemp("flip") / "images", bytes(flipped))
    except InvalidInput:
        return
    # A bit of the header that says nothing of the content (the time, the system) may flip.
    assert np.array_equal(found, IMAGES)


def pairs(tmp_path: Path, labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    (tmp_path / "images").write_bytes(GOOD)
    (tmp_path / "labels").write_bytes(idx(labels))
    with IdxFile(tmp_path / "images", dimensions=3) as a, IdxFile(tmp_path / "labels", dimensions=1) as b:
        return [(i.copy(), j.copy()) for i, j in read_pairs(a, b, classes=10, rows=4)]


def test_pairs_come_in_blocks_of_equal_length(tmp_path: Path) -> None:
    blocks = pairs(tmp_path, np.arange(9, dtype=np.uint8))
    assert [len(images) for images, _ in blocks] == [4, 4, 1]
    assert np.array_equal(np.concatenate([labels for _, labels in blocks]), np.arange(9))


def test_a_label_outside_the_classes_is_refused_with_its_row(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 3, 4, 5, 11, 255, 0], np.uint8)
    with pytest.raises(InvalidInput, match="has the label 11 at row 6; expected 0 to 9"):
        pairs(tmp_path, labels)


@pytest.mark.parametrize("count", [8, 10])
def test_another_number_of_labels_than_images_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(InvalidInput, match=f"holds {count} labels; expected 9"):
        pairs(tmp_path, np.zeros(count, np.uint8))
