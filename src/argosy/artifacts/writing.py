"""Objects are written under a temporary name and renamed, so they become visible whole or not at all.

Nothing is flushed to the platter: after a power cut a young object may be torn, which reading it detects.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from argosy.artifacts import trees
from argosy.artifacts.faults import storage_faults, unavailable
from argosy.artifacts.layout import FILES, MANIFEST, Layout, discard

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# Another mount of the same disk, or files that belong to somebody else.
_NOT_MOVABLE = (errno.EXDEV, errno.EACCES, errno.EPERM)
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)


class Sink(Protocol):
    """Where a serializer writes a large object, piece by piece."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class ObjectWriter:
    """Adds objects to a store; methods give (digest, size) and raise Unavailable when the disk refuses.

    Equal content is stored once, whoever writes it and however many at the same time.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def put_bytes(self, data: bytes) -> tuple[str, int]:
        """Store bytes."""
        digest, size = hashlib.sha256(data).hexdigest(), len(data)
        if self._layout.has_file(digest, size):
            return digest, size
        try:
            descriptor, temporary = self._create()
            try:
                try:
                    trees.write_all(descriptor, data)
                finally:
                    os.close(descriptor)
                self._publish(temporary, self._layout.file(digest))
            except BaseException:
                discard(temporary)
                raise
        except OSError as error:
            raise unavailable(self._layout.root, error) from error
        return digest, size

    def put_stream(self, write: Callable[[Sink], None]) -> tuple[str, int]:
        """Store what ``write`` writes, in bounded memory."""
        with storage_faults(self._layout.root):
            descriptor, temporary = self._create()
            sink = _HashingSink(descriptor)
            try:
                try:
                    write(sink)
                finally:
                    os.close(descriptor)
                digest = sink.hasher.hexdigest()
                if not self._layout.has_file(digest, sink.size):
                    self._publish(temporary, self._layout.file(digest))
            finally:
                discard(temporary)
        return digest, sink.size

    def put_tree(self, folder: str, replaced: dict[str, bytes], *, move: bool) -> tuple[str, int]:
        """Store a folder; the size is that of its files. ``replaced`` overrides files at its top by name.

        With ``move`` the folder itself is renamed into the store where the disk allows it, and is gone after;
        not so when a file of it has a second hard link, through which it could still be changed.
        """
        found = trees.scan(folder)
        with storage_faults(self._layout.root), self._staging() as staging:
            if move and all(item.links == 1 for item in found) and _same_disk(folder, staging):
                try:
                    return self._move_in(folder, _complete_in_place(folder, found, replaced), staging)
                except OSError as error:
                    if error.errno not in _NOT_MOVABLE:
                        raise
                    found = trees.scan(folder)
            manifest = trees.copy_into(folder, found, f"{staging}/{FILES}", replaced)
            return self._publish_tree(staging, manifest)

    def _move_in(self, folder: str, manifest: trees.Manifest, staging: str) -> tuple[str, int]:
        files = f"{staging}/{FILES}"
        if self._layout.has_tree(manifest.digest):
            return manifest.digest, manifest.size
        trees.make_read_only(folder, manifest)
        os.rename(folder, files)
        try:
            return self._publish_tree(staging, manifest)
        except BaseException:
            with contextlib.suppress(OSError):
                os.rename(files, folder)
            raise

    def _publish_tree(self, staging: str, manifest: trees.Manifest) -> tuple[str, int]:
        if not self._layout.has_tree(manifest.digest):
            _replace(f"{staging}/{MANIFEST}", manifest.encode())
            self._publish(staging, self._layout.tree(manifest.digest))
        return manifest.digest, manifest.size

    def _create(self) -> tuple[int, str]:
        path = self._layout.unused_name()
        try:
            return os.open(path, _NEW, 0o444), path
        except FileNotFoundError:
            self._layout.make_folders()
            return os.open(path, _NEW, 0o444), path

    @contextmanager
    def _staging(self) -> Iterator[str]:
        path = self._layout.unused_name()
        try:
            os.mkdir(path)
        except FileNotFoundError:
            self._layout.make_folders()
            os.mkdir(path)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _publish(self, temporary: str, path: str) -> None:
        try:
            os.rename(temporary, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._publish_over(temporary, path)
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise
            self._publish_over(temporary, path)

    def _publish_over(self, temporary: str, path: str) -> None:
        # Renaming a folder fails where another stands. A whole one is the same content, stored by somebody
        # else at the same time; one without a manifest is damaged and gives way.
        if os.path.isdir(path) and not os.path.exists(f"{path}/{MANIFEST}"):
            self._layout.set_aside(path)
        try:
            os.rename(temporary, path)
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise


class _HashingSink:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.hasher = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview, /) -> int:
        view = memoryview(data).cast("B")
        self.hasher.update(view)
        trees.write_all(self._descriptor, view)
        self.size += len(view)
        return len(view)


def _same_disk(folder: str, other: str) -> bool:
    return os.stat(folder).st_dev == os.stat(other).st_dev


def _complete_in_place(folder: str, found: list[trees.Found], replaced: dict[str, bytes]) -> trees.Manifest:
    for name, data in replaced.items():
        _replace(f"{folder}/{name}", data)
    return trees.hash_in_place(folder, trees.scan(folder) if replaced else found)


def _replace(path: str, data: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, _NEW, 0o444)
    try:
        trees.write_all(descriptor, data)
    finally:
        os.close(descriptor)
