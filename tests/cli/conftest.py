"""The argosy command in processes of its own, on a home of its own, beside a fake control plane."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from argosy.api.process import is_alive, read_control_process
from argosy.home import Home

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src"
COMMAND = [sys.executable, "-P", str(HERE / "argosy_with_fake.py")]

HELLO = '''
from typing import Annotated
import argosy as ar

print("the module prints")

@ar.step
def greet(name: str) -> str:
    return f"hello {name}"

@ar.step
def shout(text: str) -> str:
    return text.upper()

@ar.step
def join(texts: list[str]) -> str:
    return " ".join(texts)

@ar.workflow
def hello(
    name: Annotated[str, "whom to greet"] = "world",
    times: int = 1,
    outcome: str = "succeed",
    width: int = 1,
    loud: bool = False,
) -> str:
    """Greet, several times."""
    return join([shout(greet(name)) for _ in range(times)])
'''


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document it has to be."""
        return json.loads(self.out)


class Command:
    """``argosy(...)`` runs the command in ``folder`` on ``home``."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home
        folder.mkdir(exist_ok=True)
        (folder / "hello.py").write_text(HELLO)

    def environment(self, **extra: str) -> dict[str, str]:
        path = os.pathsep.join((str(SOURCE), str(HERE)))
        return {**os.environ, "ARGOSY_HOME": str(self.home), "PYTHONPATH": path, "COLUMNS": "100", **extra}

    def __call__(self, *arguments: str, **extra: str) -> Result:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**extra),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in result.err + result.out, result.err
        return result

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill_control_plane(self) -> None:
        process = read_control_process(Home(self.home))
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)

    def starts(self) -> int:
        """How many control planes were ever started on this home."""
        return len((self.home / "starts").read_text().splitlines())

    def close(self) -> None:
        if not (self.home / "starts").exists():
            return
        assert self("down").code == 0
        process = read_control_process(Home(self.home))
        assert process is None or not is_alive(process)


def filtered(text: str) -> str:
    """What differs from run to run replaced by its name."""
    for pattern, name in (
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<when>"),
        (r"process \d+", "process <pid>"),
        (r"up for [\d.]+m?s", "up for <time>"),
        (r"\S*/home\b", "<home>"),
        (r"(?<=<when> by )\S+", "<user>"),
        (r"127\.0\.0\.1:\d+", "<gateway>"),
    ):
        text = re.sub(pattern, name, text)
    return text


@pytest.fixture
def argosy(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path / "work", tmp_path / "home")
    yield command
    command.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """One home for tests that only look: two runs, hello-0001 that succeeded and hello-0002 that failed."""
    folder = tmp_path_factory.mktemp("shared")
    command = Command(folder / "work", folder / "home")
    assert command("run", "hello.py").code == 0
    assert command("run", "hello.py", "--outcome", "fail").code == 1
    yield command
    command.close()
