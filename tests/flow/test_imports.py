"""What the room shows, and what importing it brings along."""

from __future__ import annotations

import subprocess
import sys

import argosy.flow

LIGHT = """
import sys
import argosy.flow
heavy = {"numpy", "asyncio", "tensorflow", "pydantic", "sqlalchemy", "fastapi", "rich", "difflib", "hashlib"}
rooms = {name for name in sys.modules if name.startswith("argosy.")}
print(sorted(heavy & sys.modules.keys()))
print(sorted(name for name in rooms if not name.startswith(("argosy.flow", "argosy.errors", "argosy.units"))))
print(sorted({"argosy.flow.trace", "argosy.flow.identity", "argosy.flow.loading"} & rooms))
"""


def test_the_public_names_are_these() -> None:
    assert argosy.flow.__all__ == [
        "Endpoint",
        "Gang",
        "Memoize",
        "Parameter",
        "Resources",
        "Retry",
        "Step",
        "Workflow",
        "arriving",
        "serve",
        "step",
        "workflow",
    ]


def test_importing_the_room_brings_no_heavy_library_and_no_other_room() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n[]\n"
