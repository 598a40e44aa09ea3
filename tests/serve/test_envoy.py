"""Envoy's configuration: as it was approved, and as Envoy itself accepts it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argosy.flow.service_options import Access, TierLimit
from argosy.home import Home
from argosy.runtime.protocol import Program
from argosy.serve.gateway.envoy.actions import BODY_LIMIT
from argosy.serve.gateway.envoy.bootstrap import GatewayPaths, bootstrap
from argosy.serve.gateway.envoy.clusters import clusters, endpoints_files
from argosy.serve.gateway.envoy.room import room_file
from argosy.serve.gateway.envoy.routes import internal_file, public_file
from argosy.serve.gateway.files import GatewayFiles, Remembered, choose_port, gateway_spec
from argosy.serve.gateway.topology import (
    Backend,
    Cluster,
    Endpoint,
    HeaderRule,
    PublicService,
    RevokedToken,
    Shadow,
    Share,
    Topology,
)

GOLDEN = Path(__file__).parent / "golden"

MODELS = (("digits", "digits.r2"), ("digits.cnn", "digits.r2.cnn"), ("digits.mlp", "digits.r2.mlp"))
ACCESS = Access(
    {
        "anonymous": TierLimit(concurrency=2, requests=1, period_seconds=3600.0),
        "signed-in": TierLimit(concurrency=3, queue=4),
        "gold": TierLimit(requests=1000, period_seconds=1.0),
    },
    require_token=True,
)
TOPOLOGY = Topology(
    clusters=(
        Cluster("digits.r2.cnn", (Endpoint("cnn.0", 5001), Endpoint("cnn.1", 5002))),
        Cluster("digits.r2.mlp", ()),
        Cluster("digits.r2", (Endpoint("router-0", 5003),)),
        Cluster("digits.r3.cnn", (Endpoint("cnn.0", 5004),), room=257),
    ),
    backends=(
        Backend("digits", 2, "r2.digits", MODELS, version=2),
        Backend("digits", 3, "r3.digits", (("digits", "digits.r3.cnn"),), version=3),
    ),
    services=(
        PublicService(
            "digits",
            (Share(2, 90), Share(3, 10)),
            (HeaderRule("X-Canary", "yes", 3),),
            Shadow(3, 20, "digits.r3.cnn"),
            ACCESS,
        ),
    ),
    revoked=(RevokedToken("0123", "ada"),),
)
# The same without what makes its routes many.
SMALL = replace(
    TOPOLOGY,
    backends=tuple(replace(one, models=one.models[:2]) for one in TOPOLOGY.backends),
    services=(replace(TOPOLOGY.services[0], headers=(), access=Access({"gold": ACCESS.tiers["anonymous"]})),),
)
PATHS = GatewayPaths(
    clusters="/g/clusters.json",
    room="/g/room.json",
    public_routes="/g/public.json",
    internal_routes="/g/internal.json",
    jwks="/g/jwks.json",
    audit="/g/audit.log",
    internal_socket="/run/gateway.sock",
    admin_socket="/run/admin.sock",
    activator="/run/activator.sock",
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bootstrap", bootstrap(8080, PATHS)),
        ("clusters", {"clusters": clusters(TOPOLOGY, "/g/endpoints", "/run/activator.sock")}),
        ("room", room_file(TOPOLOGY)),
        ("endpoints", endpoints_files(TOPOLOGY.clusters[0], "/run/activator.sock")),
        ("public_routes", public_file(SMALL, BODY_LIMIT)),
        ("internal_routes", internal_file(SMALL)),
    ],
)
def test_the_configuration_is_as_approved(name: str, content: dict[str, Any]) -> None:
    """Set ARGOSY_APPROVE=1 to write the files anew, and read the difference."""
    text = json.dumps(content, indent=2) + "\n"
    file = GOLDEN / f"{name}.json"
    if os.environ.get("ARGOSY_APPROVE"):
        file.write_text(text)
    assert file.read_text() == text


def _files(root: Path) -> GatewayFiles:
    home = Home(root)
    files = GatewayFiles(home)
    files.prepare()
    return files


@pytest.mark.slow
@pytest.mark.parametrize("topology", [TOPOLOGY, Topology()], ids=["services", "nothing"])
def test_envoy_accepts_the_configuration(tmp_path: Path, topology: Topology) -> None:
    files = _files(tmp_path)
    files.write(topology)
    files.write_bootstrap(8080)
    call = gateway_spec(Home(tmp_path), 1, files.bootstrap_file).call
    assert isinstance(call, Program)
    checked = subprocess.run((*call.argv, "--mode", "validate"), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "OK" in checked.stdout
    assert "[warning]" not in checked.stderr
    for line in checked.stderr.splitlines():
        assert "deprecated" not in line.lower()


def test_envoy_has_one_worker_thread_because_limits_are_counted_by_thread(tmp_path: Path) -> None:
    call = gateway_spec(Home(tmp_path), 1, tmp_path / "bootstrap.json").call
    assert isinstance(call, Program)
    assert call.argv[call.argv.index("--concurrency") + 1] == "1"


def test_files_are_written_only_when_they_change(tmp_path: Path) -> None:
    files = _files(tmp_path)
    files.write(TOPOLOGY)
    before = {file: file.stat().st_ino for file in (tmp_path / "gateway").rglob("*.json")}
    files.write(TOPOLOGY)
    _files(tmp_path).write(TOPOLOGY)
    assert {file: file.stat().st_ino for file in before} == before
    assert not [file for file in (tmp_path / "gateway").rglob("*") if file.name.endswith(".new")]


def test_endpoints_of_clusters_that_are_gone_are_removed(tmp_path: Path) -> None:
    files = _files(tmp_path)
    files.write(TOPOLOGY)
    files.write(Topology())
    assert list((tmp_path / "gateway" / "endpoints").iterdir()) == []


def test_the_port_and_token_are_remembered(tmp_path: Path) -> None:
    assert _files(tmp_path).remembered() == Remembered()
    _files(tmp_path).remember(Remembered(8081, 7))
    assert _files(tmp_path).remembered() == Remembered(8081, 7)


def test_a_home_with_a_long_path_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    paths = GatewayFiles(Home(deep)).paths
    assert len(paths.internal_socket) < 100
    assert paths == GatewayFiles(Home(deep)).paths
    assert paths.internal_socket != GatewayFiles(Home(deep / "e")).paths.internal_socket


@pytest.mark.parametrize("folder", ["home", "long" * 40], ids=["in the home", "elsewhere"])
def test_the_sockets_that_envoy_leaves_are_removed(tmp_path: Path, folder: str) -> None:
    files = _files(tmp_path / folder)
    made = [Path(files.paths.internal_socket), Path(files.paths.admin_socket)]
    for path in made:
        path.touch()
    elsewhere = made[0].parent != Home(tmp_path / folder).run
    files.remove_sockets()
    assert not any(path.exists() for path in made)
    assert made[0].parent.exists() is not elsewhere


def test_the_remembered_port_comes_first_then_the_preferred_then_the_next_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        busy, free = taken.getsockname()[1], other.getsockname()[1]
        other.close()
        assert choose_port(free, busy) == free
        assert choose_port(0, free) == free
        assert choose_port(busy, busy) not in (busy, 0)
