"""A control plane is asked what its OpenAPI document allows, and what it does not, on its own socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from argosy.home import Home

from .planes import finish, plane, request

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FEW, MANY = 5, 20

WORKFLOW = """
import argosy as ar

@ar.step
def one() -> int:
    print("a line")
    return 1

@ar.workflow
def hello():
    return one()
"""


@contextmanager
def relay(socket: Path) -> Iterator[str]:
    """The address of a port behind which a unix socket is."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    is_open, ended = threading.Event(), asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(str(socket))
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async def serve() -> None:
        async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            is_open.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    is_open.wait()
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def play(operation: Any, mode: GenerationMode, base_url: str, known: dict[str, str]) -> None:
    """Requests of one operation, about things that exist and about others."""

    @settings(
        max_examples=MANY if operation.body else FEW,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    def ask(case: Any, is_known: bool) -> None:
        if is_known:
            here = {name: known[name] for name in case.path_parameters or {} if name in known}
            case.path_parameters = {**(case.path_parameters or {}), **here}
        case.call_and_validate(base_url=base_url, checks=CHECKS, timeout=20)

    # Of a request that is a name and nothing else, none is wrong.
    with suppress(Unsatisfiable if mode is GenerationMode.NEGATIVE else ()):
        ask()


def test_every_answer_of_a_control_plane_is_as_described_and_none_is_a_failure(tmp_path: Path) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "hello.py"
    file.write_text(WORKFLOW)
    with plane(home) as client, relay(home.control_socket) as url:
        known = {"run": finish(client, client.submit(request(file)).run).run}
        document = requests.get(f"{url}/openapi.json", timeout=20).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.validate()
        for operation in [one.ok() for one in schema.get_all_operations()]:
            if operation.path == "/v1/shutdown":
                continue
            for mode in GenerationMode:
                play(operation, mode, url, known)
        assert client.run(known["run"]).state == "succeeded"
    assert "Traceback" not in (home.logs / "control.log").read_text()
