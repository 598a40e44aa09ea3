"""What a dataset artifact says about itself: ``manifest.json`` beside its shards."""

from __future__ import annotations

from pathlib import Path

import msgspec

from argosy.errors import CorruptArtifact

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1


class Column(msgspec.Struct, frozen=True):
    """One named value of every example: its NumPy ``dtype`` and the ``shape`` of one row."""

    dtype: str
    shape: tuple[int, ...]


class ShardFile(msgspec.Struct, frozen=True):
    """One column of one shard: an ``.npy`` file."""

    file: str
    bytes: int
    sha256: str


class Shard(msgspec.Struct, frozen=True):
    rows: int
    files: dict[str, ShardFile]


class Manifest(msgspec.Struct, frozen=True, tag_field="format", tag="argosy-dataset"):
    """``splits`` maps a split to its shards in order. ``source`` says where the data came from and
    ``fingerprint`` is a digest of what it held; ``seed`` chose the validation rows."""

    version: int
    name: str
    columns: dict[str, Column]
    classes: tuple[str, ...]
    splits: dict[str, tuple[Shard, ...]]
    source: str = ""
    fingerprint: str = ""
    seed: int | None = None

    def rows(self, split: str) -> int:
        return sum(shard.rows for shard in self.splits[split])


def write_manifest(directory: Path, manifest: Manifest) -> None:
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (directory / FILE_NAME).write_bytes(text + b"\n")


def read_manifest(directory: Path) -> Manifest:
    """Raises CorruptArtifact that names the file when it is missing, torn or of a newer format."""
    path = directory / FILE_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise CorruptArtifact(
            f"{path} can not be read: {error.strerror}; expected the manifest of a dataset",
            hint="give the folder that write_dataset made, or ingest again",
            context={"file": str(path)},
        ) from None
    except msgspec.MsgspecError as error:
        raise CorruptArtifact(
            f"{path} is not the manifest of a dataset: {error}",
            hint="ingest again: run the step that makes this dataset",
            context={"file": str(path)},
        ) from None
    if manifest.version > FORMAT_VERSION:
        raise CorruptArtifact(
            f"{path} has format version {manifest.version}; this Argosy reads up to {FORMAT_VERSION}",
            hint="upgrade Argosy, or ingest again",
            context={"file": str(path), "found": manifest.version, "expected": FORMAT_VERSION},
        )
    return manifest
