"""Small datasets and files in the formats the data room reads."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from argosy.data.fashion import FILES

Bytes = npt.NDArray[np.uint8]


def idx(array: Bytes, *, dimensions: tuple[int, ...] | None = None, type_code: int = 8) -> bytes:
    """The bytes of an IDX file; ``dimensions`` lets the header say something else than the array."""
    shape = array.shape if dimensions is None else dimensions
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, type_code, len(shape), *shape) + array.tobytes()


def images_of(rows: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (rows, 28, 28), np.uint8)


@pytest.fixture
def fashion_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder in Fashion-MNIST's layout with few images; ``files`` replaces content by file name."""

    def make(rows: int = 40, test_rows: int = 10, **files: bytes) -> Path:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        content = {
            "train-images-idx3-ubyte": idx(images_of(rows)),
            "train-labels-idx1-ubyte": idx(np.arange(rows, dtype=np.uint8) % 10),
            "t10k-images-idx3-ubyte": idx(images_of(test_rows, 1)),
            "t10k-labels-idx1-ubyte": idx(np.arange(test_rows, dtype=np.uint8) % 10),
        }
        assert set(content) == set(FILES)
        for name, data in content.items():
            given = files.get(name.replace("-", "_"))
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, 1, mtime=0) if given is None else given)
        return folder

    return make
