"""Removes scratch folders without keeping the launcher from its work."""

from __future__ import annotations

import contextlib
import os
import stat

from argosy.home import Home


class Broom:
    """An empty folder is removed at once; a full one is set aside and removed by a process of its own."""

    def __init__(self, home: Home) -> None:
        self._work = str(home.work)
        self._trash = str(home.run / "trash")
        self._number = 0
        self._sweepers: set[int] = set()

    def owns(self, pid: int) -> bool:
        return pid in self._sweepers

    def done(self, pid: int) -> bool:
        """Whether the process that ended was sweeping."""
        known = pid in self._sweepers
        self._sweepers.discard(pid)
        return known

    def sweep_leftovers(self) -> None:
        """Remove what an earlier launcher left. Nothing of it is in use: its processes died with it."""
        if os.path.isdir(self._work) and os.listdir(self._work):
            self._set_aside(self._work)
        if os.path.isdir(self._trash) and os.listdir(self._trash):
            self._sweep(self._trash)

    def remove(self, path: str) -> None:
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            self._sweep(self._set_aside(path))

    def _set_aside(self, path: str) -> str:
        """Rename, so that a new folder of that name can be made at once."""
        self._number += 1
        target = f"{self._trash}/{os.getpid()}-{self._number}"
        try:
            os.makedirs(self._trash, exist_ok=True)
            os.rename(path, target)
        except OSError:
            return path
        return target

    def _sweep(self, path: str) -> None:
        try:
            pid = os.fork()
        except OSError:
            remove_tree(path)
            return
        if pid == 0:
            with contextlib.suppress(BaseException):
                # The launcher's lock and sockets must not outlive it in here.
                os.closerange(3, 1 << 20)
                remove_tree(path)
            os._exit(0)
        self._sweepers.add(pid)


def remove_tree(path: str) -> None:
    """Remove a folder with all that is in it, as far as that is allowed."""
    for folder, _folders, _files in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, stat.S_IRWXU)
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(f"{folder}/{name}")
        for name in folders:
            with contextlib.suppress(OSError):
                _remove_folder(f"{folder}/{name}")
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _remove_folder(path: str) -> None:
    if os.path.islink(path):
        os.unlink(path)
    else:
        os.rmdir(path)
