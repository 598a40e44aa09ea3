"""Where everything of one Argosy lies: the folder that ``ARGOSY_HOME`` names."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from argosy.errors import Unavailable

_FAULTS = {
    errno.EACCES: "may not be written by this user",
    errno.EPERM: "may not be written by this user",
    errno.EROFS: "is on a read-only file system",
    errno.ENOSPC: "is on a full disk",
    errno.EDQUOT: "is over its disk quota",
    errno.ENOTDIR: "is not a folder",
    errno.EEXIST: "is not a folder",
}
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of a home. Nothing here touches the disk."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """``$ARGOSY_HOME``, or ``~/.argosy``."""
        return cls(Path(os.environ.get("ARGOSY_HOME") or "~/.argosy").expanduser().absolute())

    @property
    def database(self) -> Path:
        return self.root / "argosy.db"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def sources(self) -> Path:
        """Snapshots of users' code, one folder a digest."""
        return self.root / "sources"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def work(self) -> Path:
        """Scratch folders, one an attempt."""
        return self.root / "work"

    @property
    def nodes(self) -> Path:
        """What outlives a node's attempts: ``<run>/<node>/{checkpoints,tensorboard}``."""
        return self.root / "nodes"

    @property
    def gateway(self) -> Path:
        """Envoy's configuration files."""
        return self.root / "gateway"

    @property
    def run(self) -> Path:
        """Locks, sockets and addresses of what is up now."""
        return self.root / "run"

    @property
    def control_socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def control_lock(self) -> Path:
        return self.run / "control.lock"

    @property
    def launcher_socket(self) -> Path:
        return self.run / "launcher.sock"

    @property
    def launcher_record(self) -> Path:
        """Who the launcher is (``pid``, ``start_ticks``, ...); not there after an orderly end."""
        return self.run / "launcher.json"

    def unusable(self, error: OSError) -> Unavailable:
        """What a failed operation below the home means for the person whose home it is."""
        what = _FAULTS.get(error.errno or 0, f"can not be used: {error.strerror or error}")
        mend = "free some space, or " if error.errno in _NO_SPACE else ""
        return Unavailable(
            f"the home {self.root} {what}",
            hint=f"{mend}set ARGOSY_HOME to a folder that can be written",
            context={"path": str(error.filename or self.root)},
        )
