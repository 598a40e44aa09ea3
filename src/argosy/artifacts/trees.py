"""A folder of files as content: its manifest, how it is taken in, how it is checked."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from argosy.artifacts.faults import unreadable
from argosy.errors import InvalidRequest

_CHUNK = 1 << 20
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class FileEntry(msgspec.Struct, frozen=True, array_like=True):
    """One file: its path in the tree with ``/``, its bytes, whether it may be executed, its sha256."""

    path: str
    size: int
    executable: bool
    digest: str


class Manifest(msgspec.Struct, frozen=True):
    """What a tree holds, sorted by path. ``folders`` are the empty ones; the others follow from the files."""

    files: tuple[FileEntry, ...]
    folders: tuple[str, ...] = ()
    version: int = 1

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files)

    @property
    def digest(self) -> str:
        """The digest of the tree: the sha256 of its manifest."""
        return hashlib.sha256(self.encode()).hexdigest()

    def encode(self) -> bytes:
        """Canonical JSON."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file or an empty folder met in a tree."""

    path: str
    is_file: bool
    size: int = 0
    executable: bool = False
    links: int = 1


class UnsafeManifest(ValueError):
    """A manifest that names a path outside its tree, or is none."""


def decode_manifest(data: bytes) -> Manifest:
    """Raises UnsafeManifest unless every path stays inside the tree."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnsafeManifest(f"not a manifest: {error}") from None
    if manifest.version != 1:
        raise UnsafeManifest(f"manifest version {manifest.version}, expected 1")
    for path in (*(entry.path for entry in manifest.files), *manifest.folders):
        if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
            raise UnsafeManifest(f"path {path!r} leaves the tree")
    return manifest


def scan(folder: str) -> list[Found]:
    """Every regular file and empty folder below ``folder``, sorted by path.

    Raises InvalidRequest for a symbolic link, socket, pipe or device, and for a name that is not UTF-8.
    """
    return sorted(_walk(folder, ""), key=lambda found: found.path)


def _walk(folder: str, prefix: str) -> Iterator[Found]:
    try:
        with os.scandir(folder) as scanned:
            entries = list(scanned)
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        path = prefix + entry.name
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            inner = list(_walk(entry.path, path + "/"))
            yield from inner or [Found(_utf8(path), is_file=False)]
        elif stat.S_ISREG(status.st_mode):
            executable = bool(status.st_mode & stat.S_IXUSR)
            yield Found(_utf8(path), True, status.st_size, executable, status.st_nlink)
        else:
            raise _not_a_file(entry.path, _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file"))


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"the file name {os.fsencode(path)!r} is not UTF-8",
            hint="rename the file before the step returns",
            context={"path": repr(os.fsencode(path))},
        ) from None
    return path


def _not_a_file(path: str, kind: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path} is {kind}: a stored folder holds regular files and folders only",
        hint="replace it by a copy of the file it stands for, or remove it before the step returns",
        context={"path": path},
    )


def names(folder: str) -> Iterator[str]:
    """The path of everything below ``folder`` that is not a folder itself, in no order."""
    for place, folders, files in os.walk(folder):
        prefix = os.path.relpath(place, folder) + "/" if place != folder else ""
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (prefix + name for name in (*files, *links))


def hash_in_place(folder: str, found: list[Found]) -> Manifest:
    """The manifest of a folder that stays as it is."""
    files = []
    for item in found:
        if item.is_file:
            digest, size = _hash_source(os.path.join(folder, item.path))
            files.append(FileEntry(item.path, size, item.executable, digest))
    return _manifest(files, found)


def copy_into(folder: str, found: list[Found], target: str, replaced: dict[str, bytes]) -> Manifest:
    """Copy a folder to ``target``, which is new, hashing on the way; ``replaced`` overrides files by name."""
    os.mkdir(target)
    files = []
    for item in found:
        if not item.is_file:
            os.makedirs(os.path.join(target, item.path), exist_ok=True)
        elif item.path not in replaced:
            path = os.path.join(target, item.path)
            _make_parent(path, item.path)
            digest, size = _copy_file(os.path.join(folder, item.path), path, item.executable)
            files.append(FileEntry(item.path, size, item.executable, digest))
    for name, data in replaced.items():
        with open(os.path.join(target, name), "xb", buffering=0) as sink:
            write_all(sink.fileno(), data)
            os.fchmod(sink.fileno(), 0o444)
        files.append(FileEntry(name, len(data), False, hashlib.sha256(data).hexdigest()))
    return _manifest(files, found)


def make_read_only(folder: str, manifest: Manifest) -> None:
    for entry in manifest.files:
        os.chmod(os.path.join(folder, entry.path), 0o555 if entry.executable else 0o444)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything: the kernel may take less at a time when the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def hash_file(path: str) -> tuple[str, int]:
    """(sha256 in hex, bytes) of a file."""
    with open(path, "rb", buffering=0) as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        return digest, source.tell()


def _manifest(files: list[FileEntry], found: list[Found]) -> Manifest:
    ordered = tuple(sorted(files, key=lambda entry: entry.path))
    return Manifest(ordered, tuple(item.path for item in found if not item.is_file))


def _hash_source(path: str) -> tuple[str, int]:
    try:
        return hash_file(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _make_parent(path: str, relative: str) -> None:
    if "/" in relative:
        os.makedirs(os.path.dirname(path), exist_ok=True)


def _copy_file(source: str, target: str, executable: bool) -> tuple[str, int]:
    mode = 0o555 if executable else 0o444
    hasher, size = hashlib.sha256(), 0
    try:
        reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(source, error) from error
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            while chunk := os.read(reader, _CHUNK):
                hasher.update(chunk)
                write_all(writer, chunk)
                size += len(chunk)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    return hasher.hexdigest(), size
