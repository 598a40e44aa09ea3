"""The store's folder on disk.

ROOT/objects/ab/ab12…                            the bytes of a file object
ROOT/objects/ab/ab12….d/{manifest.json,files/}   a tree object; the digest is that of the manifest
ROOT/tmp/                                        what is being written
ROOT/corrupt/                                    what did not match its digest when it was read
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

from argosy.errors import InvalidRequest

MANIFEST = "manifest.json"
FILES = "files"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Layout:
    """Where objects lie below ``root``. Paths are texts: pathlib would cost more than the system calls."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.abspath(root)
        self.objects = os.path.join(self.root, "objects")
        self.temporary = os.path.join(self.root, "tmp")
        self.corrupt = os.path.join(self.root, "corrupt")

    def file(self, digest: str) -> str:
        """The path of a file object, whether it exists or not."""
        if not _DIGEST.fullmatch(digest):
            raise InvalidRequest(f"{digest!r} is not a digest", hint="a digest is 64 hexadecimal digits")
        return f"{self.objects}/{digest[:2]}/{digest}"

    def tree(self, digest: str) -> str:
        """The path of a tree object, whether it exists or not."""
        return self.file(digest) + ".d"

    def files(self, digest: str) -> str:
        """The path of a tree's own files."""
        return f"{self.tree(digest)}/{FILES}"

    def has_file(self, digest: str, size: int) -> bool:
        try:
            return os.stat(self.file(digest)).st_size == size
        except OSError:
            return False

    def has_tree(self, digest: str) -> bool:
        try:
            return os.stat(f"{self.tree(digest)}/{MANIFEST}").st_size > 0
        except OSError:
            return False

    def make_folders(self) -> None:
        os.makedirs(self.temporary, exist_ok=True)
        os.makedirs(self.objects, exist_ok=True)

    def unused_name(self) -> str:
        """A new path in the temporary folder."""
        return f"{self.temporary}/{os.getpid()}-{os.urandom(8).hex()}"

    def set_aside(self, path: str) -> None:
        """Move a bad object out of the way, so that its producer, run again, can store good bytes."""
        with contextlib.suppress(OSError):
            os.makedirs(self.corrupt, exist_ok=True)
            os.rename(path, f"{self.corrupt}/{os.path.basename(path)}-{os.urandom(4).hex()}")

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what processes that died were writing; the number of entries removed."""
        limit, removed = time.time() - older_than_seconds, 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self.temporary) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < limit:
                        discard(entry.path)
                        removed += 1
        return removed


def discard(path: str) -> None:
    """Remove a file or a folder, as far as that goes."""
    try:
        os.unlink(path)
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass
