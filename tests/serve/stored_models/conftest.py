"""One process with TensorFlow for all tests here, and the models it makes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Refused(Exception):
    """What the laboratory's function raised."""

    def __init__(self, kind: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.kind, self.message, self.hint = kind, message, hint


class Laboratory:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "laboratory.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, function: str, **arguments: Any) -> Any:
        """Raises Refused in place of what the function raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([function, arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"], answer["message"], answer["hint"])
        return answer["value"]

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    running = Laboratory()
    yield running
    running.close()


@pytest.fixture(scope="session")
def models(laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that tensorflow_models.py makes."""
    folder = tmp_path_factory.mktemp("models")
    laboratory("make", folder=str(folder))
    return folder
