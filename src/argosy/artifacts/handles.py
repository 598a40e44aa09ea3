"""What a step takes and returns in place of files: a path to a folder, kept by its content."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from argosy.artifacts.reference import ArtifactReference
from argosy.errors import InvalidInput

CARD = "argosy.json"


class FileTree:
    """A folder of files.

    A step makes one from a folder it wrote (``FileTree(path)``) and returns it; a step that takes one finds
    the same files, read-only, under ``path``. A folder inside the attempt's scratch folder is moved into the
    store, any other is copied. ``reference`` and ``digest`` are set once it is stored.
    """

    artifact_type: ClassVar[str] = "tree"

    def __init__(self, path: str | os.PathLike[str], *, reference: ArtifactReference | None = None) -> None:
        self.path = Path(path)
        self.reference = reference

    @property
    def digest(self) -> str:
        """The sha256 of the content, or an empty text while it is not stored."""
        return self.reference.digest if self.reference else ""

    def card(self) -> dict[str, Any]:
        """What the tree says of itself in ``argosy.json``; written into it when it is stored."""
        return {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileTree) or type(self) is not type(other):
            return NotImplemented
        if self.reference and other.reference:
            return self.reference == other.reference
        return self.path == other.path and self.card() == other.card()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        digest = f", digest={self.digest[:12]!r}" if self.digest else ""
        return f"{type(self).__name__}({str(self.path)!r}{digest})"


class Dataset(FileTree):
    """A folder that holds a dataset, as :mod:`argosy.data` writes and reads it."""

    artifact_type: ClassVar[str] = "dataset"


class Model(FileTree):
    """A folder that holds an exported model.

    ``name`` and ``metrics`` are kept in the folder as ``argosy.json``; where one is not given, the one in the
    folder counts.
    """

    artifact_type: ClassVar[str] = "model"

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str = "",
        metrics: Mapping[str, float] | None = None,
        *,
        reference: ArtifactReference | None = None,
    ) -> None:
        super().__init__(path, reference=reference)
        self._name = name
        self._metrics = None if metrics is None else dict(metrics)
        self._read: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """What the model is called, such as its architecture."""
        return self._name or str(self._card_in_folder().get("name", ""))

    @property
    def metrics(self) -> dict[str, float]:
        """What was measured of it, such as ``{"accuracy": 0.91}``; a copy."""
        if self._metrics is not None:
            return dict(self._metrics)
        return dict(self._card_in_folder().get("metrics", {}))

    def card(self) -> dict[str, Any]:
        return {**self._card_in_folder(), "name": self.name, "metrics": self.metrics}

    def _card_in_folder(self) -> dict[str, Any]:
        if self._read is None:
            self._read = read_card(self.path)
        return self._read

    def __repr__(self) -> str:
        digest = f", digest={self.digest[:12]!r}" if self.digest else ""
        return f"Model({str(self.path)!r}, name={self.name!r}, metrics={self.metrics!r}{digest})"


def read_card(folder: Path) -> dict[str, Any]:
    """The ``argosy.json`` of a folder; empty when there is none. Raises InvalidInput when it is not one."""
    try:
        card = json.loads((folder / CARD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise _invalid_card(folder, f"is not JSON: {error}") from None
    if not isinstance(card, dict) or not isinstance(card.get("metrics", {}), dict):
        raise _invalid_card(folder, "is not an object with a name and metrics")
    return card


def _invalid_card(folder: Path, fault: str) -> InvalidInput:
    return InvalidInput(
        f"{folder / CARD} {fault}",
        hint='remove the file, or write {"name": "...", "metrics": {...}} to it',
        context={"path": str(folder / CARD)},
    )
