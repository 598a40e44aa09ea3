"""Random access to the rows of a dataset folder, memory-mapped and verified."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from argosy.artifacts.handles import Dataset
from argosy.data.manifest import Manifest, Shard, ShardFile, read_manifest
from argosy.errors import CorruptArtifact, InvalidRequest, NotFound

# A mapping keeps a descriptor open; a dataset of thousands of shards must not use them all.
_MAPPED_SHARDS = 128
_verified: set[tuple[str, str, int]] = set()

Columns = dict[str, npt.NDArray[Any]]


def open_dataset(dataset: Dataset | Path) -> DatasetReader:
    """Read the manifest. Shards are opened, and their checksums verified, when first touched."""
    if isinstance(dataset, Path):
        return DatasetReader(dataset)
    return DatasetReader(dataset.path, dataset.digest)


class DatasetReader:
    """One dataset folder. ``manifest`` is what it says of itself; ``digest`` is that of the stored artifact,
    empty for a folder that is none."""

    def __init__(self, directory: Path, digest: str = ""):
        self.directory = directory
        self.digest = digest
        self.manifest: Manifest = read_manifest(directory)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    def split(self, name: str) -> SplitReader:
        """The rows of one split. Raises NotFound that names those there are."""
        if name not in self.manifest.splits:
            raise NotFound(
                f"dataset {self.manifest.name!r} has no split {name!r}",
                hint=f"choose one of {', '.join(self.manifest.splits)}",
            )
        return SplitReader(self.directory, self.manifest, name)


class SplitReader:
    """Random access over the shards of one split, in bounded memory; for one thread at a time."""

    def __init__(self, directory: Path, manifest: Manifest, name: str):
        self.name = name
        self.columns = manifest.columns
        self._directory = directory
        self._manifest = manifest
        self._shards: tuple[Shard, ...] = manifest.splits[name]
        self._starts = np.cumsum([0, *(shard.rows for shard in self._shards)])
        self._mapped: OrderedDict[int, Columns] = OrderedDict()

    @property
    def rows(self) -> int:
        return int(self._starts[-1])

    def __len__(self) -> int:
        return self.rows

    def allocate(self, rows: int) -> Columns:
        """Arrays that ``gather`` can fill: {column: dtype[rows, ...]}."""
        return {name: np.empty((rows, *c.shape), c.dtype) for name, c in self.columns.items()}

    def gather(self, indices: npt.ArrayLike, out: Columns | None = None) -> Columns:
        """Rows in the order of ``indices``, int[n]; into ``out`` if given, whose arrays hold n rows.

        Raises CorruptArtifact naming the file when a shard does not match its checksum.
        """
        wanted = np.asarray(indices, np.int64)
        if wanted.size and (int(wanted.min()) < 0 or int(wanted.max()) >= self.rows):
            raise InvalidRequest(f"a row outside 0 to {self.rows - 1} of split {self.name!r}")
        result = self.allocate(len(wanted)) if out is None else out
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(shard_of):
            columns = self._open(int(number))
            here = np.flatnonzero(shard_of == number)
            local = wanted[here] - self._starts[number]
            for name, target in result.items():
                target[here] = columns[name][local]
        return result

    def read(self, start: int, stop: int) -> Columns:
        """Rows ``start`` to ``stop`` in stored order."""
        return self.gather(np.arange(start, min(stop, self.rows)))

    def blocks(self, rows: int) -> Iterator[Columns]:
        """All rows in stored order, at most ``rows`` at a time."""
        for start in range(0, self.rows, rows):
            yield self.read(start, start + rows)

    def _open(self, number: int) -> Columns:
        if number in self._mapped:
            self._mapped.move_to_end(number)
            return self._mapped[number]
        shard = self._shards[number]
        columns = {name: self._map(name, file, shard.rows) for name, file in shard.files.items()}
        self._mapped[number] = columns
        if len(self._mapped) > _MAPPED_SHARDS:
            self._mapped.popitem(last=False)
        return columns

    def _map(self, column: str, file: ShardFile, rows: int) -> npt.NDArray[Any]:
        path = self._directory / file.file
        _verify(path, file)
        schema = self.columns[column]
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise _corrupt(path, str(error)) from None
        if array.shape != (rows, *schema.shape) or array.dtype != np.dtype(schema.dtype):
            raise _corrupt(
                path, f"holds {array.dtype}{list(array.shape)}, not the rows its manifest promises"
            )
        # Plain arrays index faster than the memmap subclass, and keep the mapping alive as their base.
        return np.asarray(array)


def _verify(path: Path, file: ShardFile) -> None:
    """Compare a shard with its checksum, once in a process."""
    try:
        status = path.stat()
        key = (str(path), file.sha256, status.st_mtime_ns)
        if status.st_size != file.bytes:
            raise _corrupt(path, f"is {status.st_size} bytes long; expected {file.bytes}")
        if key in _verified:
            return
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _corrupt(path, f"can not be read: {error.strerror}") from None
    if found != file.sha256:
        raise _corrupt(path, f"has the sha256 {found[:12]}...; expected {file.sha256[:12]}...")
    _verified.add(key)


def _corrupt(path: Path, what: str) -> CorruptArtifact:
    return CorruptArtifact(
        f"shard {path} {what}",
        hint="ingest again: run the step that makes this dataset",
        context={"file": str(path)},
    )
