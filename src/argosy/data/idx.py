"""The IDX format of the MNIST family, read strictly and in bounded memory.

    bytes 0-1  zero      byte 2  type of the values (0x08: unsigned byte)      byte 3  number of dimensions
    then one big-endian uint32 for each dimension, then the values in row-major order

Format: Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from argosy.errors import InvalidInput

_UNSIGNED_BYTE = 0x08
_BLOCK_BYTES = 64 * 2**20
_GZIP_MAGIC = b"\x1f\x8b"
_HINT = "fetch the file again from its publisher, or reinstall the package it comes from"

Bytes = npt.NDArray[np.uint8]


class IdxFile:
    """An open IDX file of unsigned bytes, plain or gzip; ``shape`` is what its header promises.

    Use as a context manager. Everything wrong with the file is an ``InvalidInput`` that names it, what was
    found and what was expected. The promise of the header is proven only by reading :meth:`blocks` to the
    end.
    """

    def __init__(self, path: Path, *, dimensions: int):
        self.path = path
        self._stream = _open(path)
        try:
            self.shape = self._read_header(dimensions)
        except BaseException:
            self._stream.close()
            raise

    @property
    def rows(self) -> int:
        return self.shape[0]

    def __enter__(self) -> IdxFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def blocks(self, rows: int) -> Iterator[Bytes]:
        """The values in order, uint8[up to ``rows``, ...] at a time; each block is valid until the next."""
        row_bytes = math.prod(self.shape[1:])
        rows = self.block_rows(rows)
        block = np.empty((min(rows, self.rows), *self.shape[1:]), np.uint8)
        for start in range(0, self.rows, rows):
            part = block[: min(rows, self.rows - start)]
            found = self._fill(part.reshape(-1).data)
            if found < part.nbytes:
                raise self._error(
                    f"ends after {start * row_bytes + found} bytes of values",
                    f"{self.rows * row_bytes} for the {self._shape_text()} of its header",
                )
            yield part
        self._expect_end()

    def block_rows(self, rows: int) -> int:
        """How many of ``rows`` fit into a block: a header may promise rows of any size."""
        return max(1, min(rows, _BLOCK_BYTES // math.prod(self.shape[1:])))

    def _read_header(self, dimensions: int) -> tuple[int, ...]:
        magic = self._read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            raise self._error(f"starts with {magic.hex() or 'nothing'}", "0000 and a type: not an IDX file")
        if magic[2] != _UNSIGNED_BYTE:
            raise self._error(f"holds values of type 0x{magic[2]:02x}", "0x08 (unsigned byte)")
        if magic[3] != dimensions:
            raise self._error(f"has {magic[3]} dimensions", str(dimensions))
        sizes = self._read(4 * dimensions)
        if len(sizes) < 4 * dimensions:
            raise self._error(
                f"ends inside its header, after {4 + len(sizes)} bytes", str(4 + 4 * dimensions)
            )
        shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
        if 0 in shape or math.prod(shape[1:]) > _BLOCK_BYTES:
            raise self._error(f"claims the shape {shape}", "sizes above zero, and rows of at most 64 MiB")
        return shape

    def _expect_end(self) -> None:
        if extra := self._read(1):
            raise self._error(
                f"goes on with 0x{extra.hex()} after the last value",
                f"the end after the {self._shape_text()} of its header",
            )

    def _read(self, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self._fill(memoryview(buffer))])

    def _fill(self, target: memoryview) -> int:
        filled = 0
        try:
            while filled < len(target):
                # GzipFile.readinto yields short counts at member boundaries.
                count = self._stream.readinto(target[filled:])  # type: ignore[attr-defined]
                if not count:
                    break
                filled += count
        except EOFError:
            raise self._error("is a truncated gzip file", "the gzip end marker") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._error(f"is a damaged gzip file ({error})", "valid gzip data to its end") from None
        return filled

    def _shape_text(self) -> str:
        return " x ".join(str(size) for size in self.shape)

    def _error(self, found: str, expected: str) -> InvalidInput:
        return InvalidInput(
            f"{self.path} {found}; expected {expected}",
            hint=_HINT,
            context={"file": str(self.path), "found": found, "expected": expected},
        )


def _open(path: Path) -> IO[bytes]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidInput(
            f"{path} can not be read: {error.strerror}", hint=_HINT, context={"file": str(path)}
        ) from None
    try:
        magic = raw.read(2)
        raw.seek(0)
        if magic == _GZIP_MAGIC:
            # GzipFile leaves a file object it was given open; the path form closes its own.
            raw.close()
            return gzip.open(path, "rb")  # type: ignore[return-value]
        if path.suffix == ".gz":
            raise InvalidInput(
                f"{path} starts with 0x{magic.hex()}; expected 0x1f8b: not a gzip file",
                hint=_HINT,
                context={"file": str(path), "found": magic.hex(), "expected": "1f8b"},
            )
        return raw
    except BaseException:
        raw.close()
        raise


def read_pairs(
    images: IdxFile, labels: IdxFile, *, classes: int, rows: int = 4096
) -> Iterator[tuple[Bytes, Bytes]]:
    """Blocks (images uint8[n, h, w], labels uint8[n]) of two files that belong together.

    Raises InvalidInput when the counts differ or a label is not below ``classes``.
    """
    if images.rows != labels.rows:
        raise InvalidInput(
            f"{labels.path} holds {labels.rows} labels; "
            f"expected {images.rows}, one for each image of {images.path}",
            hint="use the two files of one split, from the same source",
            context={"file": str(labels.path), "found": labels.rows, "expected": images.rows},
        )
    start, rows = 0, images.block_rows(rows)
    for image_block, label_block in zip(images.blocks(rows), labels.blocks(rows), strict=True):
        if int(label_block.max()) >= classes:
            at = int(np.argmax(label_block >= classes))
            raise InvalidInput(
                f"{labels.path} has the label {int(label_block[at])} at row {start + at}; "
                f"expected 0 to {classes - 1}",
                hint=_HINT,
                context={"file": str(labels.path), "row": start + at, "expected": f"0 to {classes - 1}"},
            )
        yield image_block, label_block
        start += len(label_block)
