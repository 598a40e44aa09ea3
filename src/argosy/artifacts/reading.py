"""Objects are checked against their digest when they are read; a bad one is set aside and named."""

from __future__ import annotations

import hashlib
import os

from argosy.artifacts import trees
from argosy.artifacts.faults import mismatch, missing, unavailable
from argosy.artifacts.layout import MANIFEST, Layout
from argosy.artifacts.reference import ArtifactReference
from argosy.errors import CorruptArtifact


class ObjectReader:
    """Reads objects of a store. Every method raises CorruptArtifact for missing or altered content."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._checked: set[str] = set()

    def read_bytes(self, reference: ArtifactReference) -> bytes:
        """The bytes of a file object, checked."""
        try:
            with open(self._layout.file(reference.digest), "rb", buffering=0) as source:
                data: bytes = source.read()
        except FileNotFoundError:
            raise missing(reference, self._layout.root) from None
        except OSError as error:
            raise unavailable(self._layout.root, error) from error
        found = hashlib.sha256(data).hexdigest()
        if found != reference.digest:
            raise self._bad_file(reference, len(data), found)
        return data

    def checked_file(self, reference: ArtifactReference) -> str:
        """The path of a file object, hashed on the first call in this process."""
        path = self._layout.file(reference.digest)
        if path not in self._checked or not self._layout.has_file(reference.digest, reference.size):
            self.verify_file(reference)
            self._checked.add(path)
        return path

    def checked_tree(self, reference: ArtifactReference) -> str:
        """The path of a tree's files, all hashed on the first call in this process."""
        path = self._layout.files(reference.digest)
        if path not in self._checked or not self._layout.has_tree(reference.digest):
            self.verify_tree(reference)
            self._checked.add(path)
        return path

    def trust_tree(self, digest: str) -> None:
        """This process has just hashed that tree while storing it."""
        self._checked.add(self._layout.files(digest))

    def verify_file(self, reference: ArtifactReference) -> None:
        """Hash a file object in bounded memory."""
        try:
            found, size = trees.hash_file(self._layout.file(reference.digest))
        except FileNotFoundError:
            raise missing(reference, self._layout.root) from None
        except OSError as error:
            raise unavailable(self._layout.root, error) from error
        if found != reference.digest:
            raise self._bad_file(reference, size, found)

    def verify_tree(self, reference: ArtifactReference) -> None:
        """Check every file of a tree: there, of its size, of its digest, and no file more."""
        manifest = self._manifest(reference)
        try:
            self._compare_names(reference, manifest)
            for entry in manifest.files:
                self._compare_file(reference, entry)
        except CorruptArtifact:
            self._layout.set_aside(self._layout.tree(reference.digest))
            raise
        except OSError as error:
            raise unavailable(self._layout.root, error) from error

    def _manifest(self, reference: ArtifactReference) -> trees.Manifest:
        tree = self._layout.tree(reference.digest)
        try:
            with open(f"{tree}/{MANIFEST}", "rb", buffering=0) as source:
                data = source.read()
        except FileNotFoundError:
            self._layout.set_aside(tree)
            raise missing(reference, self._layout.root) from None
        except OSError as error:
            raise unavailable(self._layout.root, error) from error
        found = hashlib.sha256(data).hexdigest()
        if found != reference.digest:
            self._layout.set_aside(tree)
            raise mismatch(reference, MANIFEST, "the sha256", reference.digest, found)
        try:
            return trees.decode_manifest(data)
        except trees.UnsafeManifest as error:
            raise mismatch(reference, MANIFEST, "the content", "a manifest", str(error)) from None

    def _compare_names(self, reference: ArtifactReference, manifest: trees.Manifest) -> None:
        present = set(trees.names(self._layout.files(reference.digest)))
        expected = {entry.path for entry in manifest.files}
        for path in sorted(expected - present):
            raise missing(reference, self._layout.root, path)
        for path in sorted(present - expected):
            raise mismatch(reference, path, "the presence", "no such file", "a file that was not stored")

    def _compare_file(self, reference: ArtifactReference, entry: trees.FileEntry) -> None:
        path = f"{self._layout.files(reference.digest)}/{entry.path}"
        size = os.lstat(path).st_size
        if size != entry.size:
            raise mismatch(reference, entry.path, "the size", entry.size, size)
        found, _ = trees.hash_file(path)
        if found != entry.digest:
            raise mismatch(reference, entry.path, "the sha256", entry.digest, found)

    def _bad_file(self, reference: ArtifactReference, size: int, found: str) -> CorruptArtifact:
        path = self._layout.file(reference.digest)
        self._layout.set_aside(path)
        name = os.path.basename(path)
        if size != reference.size:
            return mismatch(reference, name, "the size", reference.size, size)
        return mismatch(reference, name, "the sha256", reference.digest, found)
