"""The real command on a home of its own: nothing is faked, and nothing may be left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello" / "hello.py"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document it has to be."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Argosy:
    """``argosy(...)`` runs the command in ``folder`` on ``home``."""

    folder: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "ARGOSY_HOME": str(self.home)}

    def start(self, *arguments: str | Path, module: str = "argosy.cli") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str | Path, module: str = "argosy.cli") -> Result:
        return result_of(self.start(*arguments, module=module))

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def processes(self) -> list[str]:
        """Command lines of living processes that were started for this home."""
        return [line for line in _command_lines() if str(self.home) in line]


def result_of(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return Result(process.returncode, out, err)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.02)


def _command_lines() -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue


@pytest.fixture
def argosy(tmp_path: Path) -> Iterator[Argosy]:
    """The command on a fresh home; afterwards no process and no socket of it may be left."""
    folder = tmp_path / "project"
    folder.mkdir()
    command = Argosy(folder, tmp_path / "home")
    yield command
    command("down")
    wait_until(lambda: not command.processes(), "every process of the home has ended")
    assert list(command.home.glob("run/*.sock")) == []
