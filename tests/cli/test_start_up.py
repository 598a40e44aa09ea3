"""What a command may not import, so that it starts quickly."""

from __future__ import annotations

import json
import subprocess

import pytest

from .conftest import COMMAND, Command

HEAVY = {
    "alembic",
    "fastapi",
    "httpx",
    "numpy",
    "onnxruntime",
    "PIL",
    "psutil",
    "pydantic",
    "rich",
    "sqlalchemy",
    "starlette",
    "tensorflow",
    "typer",
    "uvicorn",
    "yaml",
}
PROBE = """
import atexit, json, sys
atexit.register(lambda: open({path!r}, "w").write(json.dumps(sorted(m for m in sys.modules if "." not in m))))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "hello.py"],
        ["runs"],
        ["show", "hello-0001"],
        ["status"],
        ["services"],
        ["serve", "--help"],
        ["serve", "hello", "--name", "digits"],
        ["token", "list"],
        ["audit"],
        ["graph", "hello.py"],
    ],
)
def test_no_heavy_library_is_imported(shared: Command, arguments: list[str]) -> None:
    modules = shared.folder / "modules.json"
    (shared.folder / "sitecustomize.py").write_text(PROBE.format(path=str(modules)))
    environment = shared.environment()
    environment["PYTHONPATH"] += f":{shared.folder}"
    (shared.folder / "hello").mkdir(exist_ok=True)
    subprocess.run(
        [*COMMAND, *arguments],
        cwd=shared.folder,
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert HEAVY.isdisjoint(json.loads(modules.read_text()))
