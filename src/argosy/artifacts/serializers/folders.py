"""File trees, datasets and models."""

from __future__ import annotations

import os
from pathlib import Path

from argosy.artifacts.handles import CARD, Dataset, FileTree, Model
from argosy.artifacts.json_values import encode_json
from argosy.artifacts.objects import Objects
from argosy.artifacts.reference import ArtifactReference
from argosy.artifacts.serializers.base import refuse
from argosy.errors import InvalidRequest


class FolderSerializer:
    """Handles of one class. A handle that is stored already stores nothing again."""

    def __init__(self, handle: type[FileTree]) -> None:
        self._handle = handle

    def put(self, value: object, objects: Objects) -> ArtifactReference:
        kind = self._handle.__name__
        if not isinstance(value, self._handle):
            refuse(value, f"a {kind}", f"return argosy.{kind}(path)")
        stored = value.reference
        if stored is None or not _lies_in_store(value, objects):
            _require_folder(value.path, objects)
            digest, size = objects.put_tree(value.path, _card_file(value))
            stored = ArtifactReference(digest, value.artifact_type, size)
            value.path, value.reference = Path(objects.layout.files(digest)), stored
        return ArtifactReference(stored.digest, self._handle.artifact_type, stored.size)

    def get(self, reference: ArtifactReference, objects: Objects) -> object:
        return self._handle(objects.reader.checked_tree(reference), reference=reference)


def _lies_in_store(value: FileTree, objects: Objects) -> bool:
    digest = value.digest
    return os.fspath(value.path) == objects.layout.files(digest) and objects.layout.has_tree(digest)


def _require_folder(path: Path, objects: Objects) -> None:
    if not objects.is_folder(path):
        fault = "is not a folder" if path.exists() else "does not exist"
        raise InvalidRequest(
            f"{path} can not be stored: it {fault}",
            hint="write the files into a folder and return that",
            context={"path": str(path)},
        )


def _card_file(value: FileTree) -> dict[str, bytes]:
    card = value.card()
    return {CARD: encode_json(card, name=CARD)} if card else {}


FOLDER_SERIALIZERS = {handle.artifact_type: FolderSerializer(handle) for handle in (FileTree, Dataset, Model)}
