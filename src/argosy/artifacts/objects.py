"""One store's objects, as the serializers see them."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.artifacts.layout import Layout
from argosy.artifacts.reading import ObjectReader
from argosy.artifacts.writing import ObjectWriter


class Objects:
    """``scratch`` is the folder whose subfolders are the store's to take: they are moved, others copied."""

    def __init__(self, root: Path, scratch: Path | None = None) -> None:
        self.layout = Layout(root)
        self.writer = ObjectWriter(self.layout)
        self.reader = ObjectReader(self.layout)
        self._scratch = os.path.realpath(scratch) if scratch else None
        self._moved: dict[str, str] = {}

    def put_tree(self, folder: Path, replaced: dict[str, bytes]) -> tuple[str, int]:
        """Store a folder; see :meth:`ObjectWriter.put_tree`."""
        place = os.path.realpath(folder)
        source = self._now_at(place)
        owned = self._scratch is not None and source.startswith(self._scratch + os.sep)
        digest, size = self.writer.put_tree(source, replaced, move=owned)
        self.reader.trust_tree(digest)
        if owned and not os.path.exists(place):
            self._moved[place] = self.layout.files(digest)
        return digest, size

    def is_folder(self, path: Path) -> bool:
        return os.path.isdir(self._now_at(os.path.realpath(path)))

    def _now_at(self, place: str) -> str:
        # Two results of one step may share a folder: the second finds it where the first one's move left it.
        if os.path.exists(place):
            return place
        for moved, target in self._moved.items():
            if place == moved or place.startswith(moved + os.sep):
                return target + place[len(moved) :]
        return place
