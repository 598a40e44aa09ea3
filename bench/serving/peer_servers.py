"""The peers: each in its own environment, tuned for two cores as its documentation advises.

A peer that is not installed, or does not come up, is named with its reason and left out.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.inputs import cache
from serving.processes import Server, free_ports, until

HERE = Path(__file__).parent / "peers"
START_SECONDS = 120.0
RAW = "raw ASGI, two processes"

Command = Callable[[Path, int], list[str | Path]]


class Missing(Exception):
    """A peer that can not take part, with the reason."""


@dataclass(frozen=True, slots=True)
class Peer:
    """``environment`` names its virtual environment, ``path`` where it predicts. ``wrap`` makes its own
    protocol's body of ours."""

    name: str
    environment: str
    command: Command
    path: str = "/predict"
    wrap: Callable[[bytes], bytes] = bytes
    variables: Mapping[str, str] = field(default_factory=dict)


def _script(name: str) -> Command:
    return lambda programs, port: [programs / "python", HERE / name]


def _uvicorn(programs: Path, port: int) -> list[str | Path]:
    return [
        *(programs / "python", "-m", "uvicorn", "raw_asgi_app:app", "--app-dir", HERE, "--workers", "2"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--port", str(port)),
    ]


def _bentoml(programs: Path, port: int) -> list[str | Path]:
    return [
        *(programs / "bentoml", "serve", "bentoml_service:Classifier", "--working-dir", HERE),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]


def _triton_body(body: bytes) -> bytes:
    """The same base64 text as a tensor of the Open Inference Protocol."""
    images = [instance["b64"] for instance in json.loads(body)["instances"]]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images), 1], "data": images}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()


PEERS = (
    Peer("BentoML", "bentoml", _bentoml),
    Peer("LitServe", "litserve", _script("litserve_server.py")),
    Peer("MLServer", "mlserver", _script("mlserver_server.py")),
    Peer(
        "Triton (PyTriton)",
        "triton",
        _script("triton_server.py"),
        "/v2/models/bench/infer",
        _triton_body,
        # Its shared-memory store pays for large tensors alone; with small ones it is the slower way.
        variables={"PYTRITON_NO_TENSORSTORE": "1"},
    ),
    Peer("KServe", "kserve", _script("kserve_server.py"), "/v1/models/bench:predict"),
    Peer("Ray Serve", "ray", _script("ray_deployment.py")),
    Peer(
        "Ray Serve, HAProxy",
        "ray",
        _script("ray_deployment.py"),
        variables={
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_EXPERIMENTAL_PIP_HAPROXY": "1",
        },
    ),
    Peer(RAW, "raw_asgi", _uvicorn),
)


@contextmanager
def running(peer: Peer, model: Path, ready: Callable[[str], None]) -> Iterator[tuple[str, Server]]:
    """The address of a peer that answers, and its processes. ``ready`` raises until its answers are right.

    Raises Missing when it is not installed, ends, or does not answer rightly within two minutes.
    """
    programs = cache() / "peers" / peer.environment / "bin"
    if not programs.exists():
        raise Missing(_why_not_installed(peer.environment))
    port = free_ports(3)[0]
    # A short name: Ray puts sockets far below it.
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        server = Server(peer.command(programs, port), _environment(peer, model, port, scratch), _log(peer))
        try:
            url = f"http://127.0.0.1:{port}{peer.path}"
            until(lambda: _check(server, ready, url), "a right answer", START_SECONDS)
            yield url, server
        except TimeoutError as error:
            raise Missing(str(error)) from error
        finally:
            server.stop()


def _check(server: Server, ready: Callable[[str], None], url: str) -> bool:
    if server.ended:
        raise Missing(f"ended while it started: {server.last_words()}; log: {server.log.name}")
    ready(url)
    return True


def _environment(peer: Peer, model: Path, port: int, scratch: str) -> dict[str, str]:
    """Ours, without what would lead a peer to our packages."""
    kept: dict[str, Any] = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "BENCH_MODEL": str(model), "BENCH_PORT": str(port)}
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(HERE)}
    folders = {"TMPDIR": scratch, "PYTRITON_HOME": scratch, "BENTOML_HOME": scratch}
    return {**kept, **threads, **quiet, **folders, **peer.variables}


def _log(peer: Peer) -> Path:
    folder = cache() / "logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{peer.name.lower().translate(str.maketrans(' ,()', '____'))}.log"


def _why_not_installed(environment: str) -> str:
    reason = cache() / "peers" / f"{environment}.reason"
    if reason.exists():
        return f"can not be installed: {reason.read_text().strip()}"
    return f"not installed: bench/serving/install {environment}"
