"""The artifact store: values by the digest of their content, checked when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from argosy.artifacts.faults import missing
from argosy.artifacts.handles import Dataset, FileTree, Model
from argosy.artifacts.json_values import decode_json
from argosy.artifacts.objects import Objects
from argosy.artifacts.reference import ArtifactReference, Inline, Many, Stored, Value
from argosy.artifacts.serializers.base import refuse
from argosy.artifacts.serializers.plain import JsonSerializer
from argosy.artifacts.serializers.registry import item_type, serializer
from argosy.errors import InvalidRequest

FOLDER_TYPES = frozenset(handle.artifact_type for handle in (FileTree, Dataset, Model))


class ArtifactStore:
    """Keeps artifacts below ``root``, which is made by the first write. Safe for many processes and threads.

    A folder below ``scratch`` belongs to the store: a file tree there is moved in, one elsewhere is copied.
    Writing raises Unavailable when the disk refuses, and then leaves nothing behind.
    """

    def __init__(self, root: Path, *, scratch: Path | None = None) -> None:
        self._objects = Objects(root, scratch)

    def put(self, value: object, type: str) -> Value:
        """Store a value as ``json``, ``numpy``, ``tree``, ``bytes``, ``dataset``, ``model`` or ``pickle``, or
        each item of a list as ``list[...]`` says. Raises InvalidRequest for a value that is not of that type.
        """
        items = item_type(type)
        if items is None:
            return Stored(serializer(type).put(value, self._objects))
        if not isinstance(value, list | tuple):
            refuse(value, f"a list ({type})", "return a list, or declare the type that the step returns")
        return Many(tuple(self.put(item, items) for item in value))

    def get(self, value: Value) -> object:
        """The value, checked against its digest: a list for Many. Raises CorruptArtifact."""
        match value:
            case Stored(reference):
                return serializer(reference.type).get(reference, self._objects)
            case Inline(json):
                return decode_json(json)
            case Many(items):
                return [self.get(item) for item in items]

    def path(self, reference: ArtifactReference) -> Path:
        """The read-only file or folder with the content, unchecked. Raises CorruptArtifact if missing."""
        if not self.exists(reference):
            raise missing(reference, self._objects.layout.root)
        layout, digest = self._objects.layout, reference.digest
        return Path(layout.files(digest) if reference.type in FOLDER_TYPES else layout.file(digest))

    def exists(self, reference: ArtifactReference) -> bool:
        """Whether the content is there, by one look at the disk; its bytes are not read."""
        if reference.type in FOLDER_TYPES:
            return self._objects.layout.has_tree(reference.digest)
        return self._objects.layout.has_file(reference.digest, reference.size)

    def verify(self, reference: ArtifactReference) -> None:
        """Read and hash all of the content now. Raises CorruptArtifact naming the file at fault."""
        if reference.type in FOLDER_TYPES:
            self._objects.reader.verify_tree(reference)
        else:
            self._objects.reader.verify_file(reference)

    def put_json(self, value: object) -> Stored:
        """Store a JSON value."""
        return Stored(JsonSerializer().put(value, self._objects))

    def read_json(self, value: Value) -> Any:
        """The JSON value of an Inline, of a stored ``json``, or of Many of them."""
        if isinstance(value, Many):
            return [self.read_json(item) for item in value.items]
        if isinstance(value, Stored) and value.reference.type != "json":
            raise InvalidRequest(
                f"{value.reference.type} artifact {value.reference.digest[:12]} is not JSON",
                hint="read it with get(), which gives a value of its own type",
            )
        return self.get(value)

    def sweep(self, older_than_seconds: float = 86_400) -> int:
        """Remove what processes that died left half written; the number of entries removed."""
        return self._objects.layout.sweep(older_than_seconds)
