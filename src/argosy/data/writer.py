"""Examples in, a sharded and checksummed dataset folder out, in bounded memory."""

from __future__ import annotations

import hashlib
import io
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from argosy import reporting
from argosy.artifacts.handles import Dataset
from argosy.data.manifest import FORMAT_VERSION, Column, Manifest, Shard, ShardFile, write_manifest
from argosy.errors import InvalidInput, InvalidRequest

SHARD_BYTES = 16 * 2**20
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")

Rows = Mapping[str, npt.NDArray[Any]]


class DatasetSource(Protocol):
    """Where examples come from; ``blocks`` yields (split, rows of every column), any number at a time."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> Mapping[str, Column]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def location(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def seed(self) -> int | None: ...
    def blocks(self) -> Iterator[tuple[str, Rows]]: ...


class DatasetWriter:
    """Writes shards into ``directory``; memory stays at one shard for each split.

    ``append`` as often as there is data, then ``finish``; the folder is a dataset only once the manifest is
    in it, which is written last.
    """

    def __init__(self, directory: Path, columns: Mapping[str, Column], *, shard_bytes: int = SHARD_BYTES):
        self.directory = directory
        self.columns = dict(columns)
        for name in self.columns:
            _require_safe("column", name)
        if not self.columns:
            raise InvalidRequest("a dataset without a column", hint="name at least one column")
        row_bytes = sum(np.dtype(c.dtype).itemsize * math.prod(c.shape) for c in self.columns.values())
        self.shard_rows = max(1, shard_bytes // max(1, row_bytes))
        self._shards: dict[str, list[Shard]] = {}
        self._open: dict[str, _OpenShard] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def append(self, split: str, rows: Rows) -> None:
        """Add rows to the end of ``split``. Raises InvalidInput when a column does not fit the schema."""
        count = self._check(split, rows)
        if split not in self._shards:
            _require_safe("split", split)
            self._shards[split] = []
        taken = 0
        while taken < count:
            shard = self._open.setdefault(split, _OpenShard(self.columns, self.shard_rows))
            taken += shard.take(rows, taken)
            if shard.is_full:
                self._close_shard(split)

    def finish(
        self,
        *,
        name: str,
        classes: tuple[str, ...] = (),
        source: str = "",
        fingerprint: str = "",
        seed: int | None = None,
    ) -> Manifest:
        """Write what is still held, then the manifest."""
        for split in list(self._open):
            self._close_shard(split)
        manifest = Manifest(
            version=FORMAT_VERSION,
            name=name,
            columns=self.columns,
            classes=classes,
            splits={split: tuple(shards) for split, shards in self._shards.items()},
            source=source,
            fingerprint=fingerprint,
            seed=seed,
        )
        write_manifest(self.directory, manifest)
        return manifest

    def _check(self, split: str, rows: Rows) -> int:
        if set(rows) != set(self.columns):
            raise InvalidInput(
                f"rows for {split!r} have the columns {sorted(rows)}; expected {sorted(self.columns)}"
            )
        counts = {len(values) for values in rows.values()}
        for name, column in self.columns.items():
            found = rows[name]
            if found.shape[1:] != column.shape or found.dtype != np.dtype(column.dtype):
                raise InvalidInput(
                    f"column {name!r} of {split!r} has rows of {found.dtype}{list(found.shape[1:])}; "
                    f"expected {column.dtype}{list(column.shape)}"
                )
        if len(counts) > 1:
            raise InvalidInput(f"the columns of one block for {split!r} differ in length: {sorted(counts)}")
        return counts.pop()

    def _close_shard(self, split: str) -> None:
        prefix = f"{split}-{len(self._shards[split]):05d}"
        self._shards[split].append(self._open.pop(split).write(self.directory, prefix))


class _OpenShard:
    def __init__(self, columns: Mapping[str, Column], rows: int):
        self._arrays = {name: np.empty((rows, *c.shape), c.dtype) for name, c in columns.items()}
        self._capacity = rows
        self._rows = 0

    @property
    def is_full(self) -> bool:
        return self._rows == self._capacity

    def take(self, rows: Rows, start: int) -> int:
        count = 0
        for name, array in self._arrays.items():
            part = rows[name][start : start + self._capacity - self._rows]
            count = len(part)
            array[self._rows : self._rows + count] = part
        self._rows += count
        return count

    def write(self, directory: Path, prefix: str) -> Shard:
        files = {
            name: _write_array(directory, f"{prefix}.{name}.npy", array[: self._rows])
            for name, array in self._arrays.items()
        }
        return Shard(self._rows, files)


def _write_array(directory: Path, file: str, array: npt.NDArray[Any]) -> ShardFile:
    header = io.BytesIO()
    np.lib.format.write_array_header_2_0(header, np.lib.format.header_data_from_array_1_0(array))
    values = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    digest = hashlib.sha256(header.getvalue())
    digest.update(values)
    with (directory / file).open("wb") as stream:
        stream.write(header.getvalue())
        stream.write(values)
    return ShardFile(file, len(header.getvalue()) + len(values), digest.hexdigest())


def write_dataset(
    source: DatasetSource, directory: Path | None = None, *, shard_bytes: int = SHARD_BYTES
) -> Dataset:
    """Read ``source`` once and write it as a dataset, by default in the attempt's scratch folder."""
    if directory is None:
        scratch = reporting.current().directory
        scratch.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="dataset-", dir=scratch))
    writer = DatasetWriter(directory, source.columns, shard_bytes=shard_bytes)
    for split, rows in source.blocks():
        writer.append(split, rows)
    writer.finish(
        name=source.name,
        classes=source.classes,
        source=source.location,
        fingerprint=source.fingerprint,
        seed=source.seed,
    )
    return Dataset(directory)


def _require_safe(kind: str, name: str) -> None:
    if not name or not _SAFE.issuperset(name):
        raise InvalidRequest(
            f"{name!r} is not a name for a {kind}",
            hint="use letters, digits, '-' and '_': it is part of file names",
        )
