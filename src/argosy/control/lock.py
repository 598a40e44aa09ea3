"""One control plane a home."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from argosy.errors import Conflict
from argosy.home import Home


def prepare(home: Home) -> None:
    """Create the folders of a home, readable by its owner alone.

    Raises Unavailable with the reason when it can not be used.
    """
    folders = (home.root, home.run, home.logs, home.work, home.nodes, home.sources, home.gateway)
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home.run / f".probe.{os.getpid()}"
        try:
            # A full disk takes a new name but not its bytes.
            probe.write_bytes(b"\0" * 65536)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise home.unusable(error) from error


class HomeLock:
    """Held while a control plane lives; the kernel lets go of it however the process dies."""

    def __init__(self, path: Path):
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises Conflict when another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
            os.close(descriptor)
            raise Conflict(
                f"a control plane (pid {holder}) already runs on {self._path.parent.parent}",
                hint="use it: every command of this home finds it; or stop it with `argosy down`",
                context={"pid": holder},
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
