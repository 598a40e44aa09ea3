"""Argosy as its users meet it: the command, on a home that is thrown away afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKFLOWS = Path(__file__).parents[1] / "workflows"
ROOT = Path(__file__).parents[2]


def command() -> list[str]:
    """The installed ``argosy`` beside this Python, or the module where it is not installed."""
    script = Path(sys.executable).with_name("argosy")
    return [str(script)] if script.exists() else [sys.executable, "-m", "argosy.cli"]


@dataclass(frozen=True, slots=True)
class Home:
    """A temporary ARGOSY_HOME."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ARGOSY_HOME": str(self.root)}

    def argosy(self, *arguments: str | Path, check: bool = True) -> str:
        """Run the command; its standard output. Raises with its standard error when it fails."""
        done = subprocess.run(
            [*command(), *map(str, arguments)], env=self.environment, capture_output=True, text=True
        )
        if check and done.returncode:
            raise RuntimeError(f"argosy {' '.join(map(str, arguments))}: {done.stderr or done.stdout}")
        return done.stdout

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self.argosy(*arguments, "--json"))

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Run the command beside this process."""
        return subprocess.Popen(
            [*command(), *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def control_plane_peak(self) -> float:
        """MiB of resident memory the control plane has held at most."""
        status = Path(f"/proc/{self.json('status')['pid']}/status").read_text()
        kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return int(kibibytes) / 1024


@contextmanager
def temporary_home() -> Iterator[Home]:
    """A home whose control plane, services and files are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as folder:
        home = Home(Path(folder))
        try:
            yield home
        finally:
            home.argosy("down", check=False)


def run_seconds(run: dict[str, Any]) -> float:
    """From the moment a run was accepted until it ended, by the control plane's clock."""
    return float(run["ended_at"] - run["created_at"])
