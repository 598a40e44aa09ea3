"""Where everything of one Argosy lies: the folder that ``ARGOSY_HOME`` names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


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
