"""Our side: services started the way a user starts them, and what can be seen of them.

Whatever of the command line a benchmark needs is here and nowhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from support.homes import Home, temporary_home

from argosy import home as homes
from argosy.api.views import MemberView, ReplicaView, ServiceView
from argosy.client.client import ControlClient
from argosy.flow.service_options import ServiceOptions
from serving.processes import cpu_seconds, pids_with, program, until

NAME = "bench"
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ours:
    """A running service of ours."""

    home: Home
    name: str

    @property
    def client(self) -> ControlClient:
        return ControlClient(homes.Home(self.home.root))

    def view(self) -> ServiceView:
        """Raises LookupError while there is no such service."""
        found = [one for one in self.client.services() if one.name == self.name]
        if not found:
            raise LookupError(f"there is no service {self.name}")
        return found[0]

    @property
    def url(self) -> str:
        """Where callers ask: through Envoy."""
        return self.view().url

    def direct_urls(self) -> list[str]:
        """The same request past Envoy, to each replica."""
        path = self.url.split("/", 3)[3]
        return [f"http://127.0.0.1:{one.port}/{path}" for one in ready_replicas(self.view())]

    def replica_pids(self) -> list[int]:
        return [one.pid for one in replicas(self.view()) if one.pid]

    def router_pids(self) -> list[int]:
        """The routers of the revision that serves; none where there is no router."""
        view = self.view()
        routers = [one for revision in view.revisions for one in revision.routers]
        return [one.pid for one in routers if one.pid]

    def pids(self) -> list[int]:
        """Everything of this home: control plane, launcher, warm processes, Envoy, replicas."""
        return pids_with(f"ARGOSY_HOME={self.home.root}")

    def gateway_pids(self) -> list[int]:
        return [pid for pid in self.pids() if program(pid) == "envoy"]

    def wait_for_replicas(self, count: int) -> None:
        """Until exactly so many are ready."""
        until(
            lambda: len(ready_replicas(self.view())) == count or None,
            f"{count} ready replicas of {self.name}",
            PATIENCE_SECONDS,
        )

    def wait_for_none(self) -> None:
        """Until an event-driven service has no replica left, so that the next request is a cold start."""
        until(lambda: not replicas(self.view()) or None, "a service without replicas", PATIENCE_SECONDS, 0.1)


def replicas(view: ServiceView) -> list[ReplicaView]:
    """Every replica there is, ready or not."""
    members: Sequence[MemberView] = view.members
    return [one for member in members for one in member.replicas if one.state not in ("stopped", "failed")]


def ready_replicas(view: ServiceView) -> list[ReplicaView]:
    return [one for one in replicas(view) if one.state == "ready"]


@contextmanager
def start_ours(
    model: Path,
    least: int,
    most: int,
    *,
    options: ServiceOptions | None = None,
    name: str = NAME,
) -> Iterator[Ours]:
    """A service in a home of its own, ready and answering; nothing of it is left afterwards."""
    with temporary_home() as home:
        serve(home, model, name, f"{least}:{most}", options or ServiceOptions())
        yield Ours(home, name)


def serve(home: Home, model: Path, name: str, replicas: str, options: ServiceOptions) -> None:
    """``argosy serve``, with what the command line has no option for in a file."""
    arguments: list[str | Path] = [model, "--name", name, "--replicas", replicas]
    arguments += ["--strategy", options.strategy.value]
    described = msgspec.to_builtins(options)
    described.pop("strategy", None)
    if described:
        file = home.root / f"{name}.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(described))
        arguments += ["--file", file]
    home.argosy("serve", *arguments)


def create_token(home: Home, user: str, tier: str = "") -> str:
    """What a caller of that user sends as a bearer token."""
    arguments = ["token", "create", "--user", user, *(["--tier", tier] if tier else [])]
    text: str = home.json(*arguments)["text"]
    return text


@dataclass(slots=True)
class Usage:
    """What a service used while it was watched: replica-seconds, and processor seconds of its replicas.
    ``replicas`` are (seconds since the start, replicas there)."""

    replica_seconds: float
    cpu_seconds: float
    replicas: list[tuple[float, int]]


class UsageWatch:
    """Adds up what a service uses, look by look. A replica that ended counts up to the last look at it."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        self._start = self._last = time.monotonic()
        self._first: dict[int, float] = {}
        self._newest: dict[int, float] = {}
        self._usage = Usage(0.0, 0.0, [])

    def look(self) -> None:
        pids = self._ours.replica_pids()
        now = time.monotonic()
        self._usage.replica_seconds += len(pids) * (now - self._last)
        self._usage.replicas.append((now - self._start, len(pids)))
        self._last = now
        first_look = len(self._usage.replicas) == 1
        for pid in pids:
            used = cpu_seconds([pid])
            # What a replica used before the watch began is not its own; starting later is.
            self._first.setdefault(pid, used if first_look else 0.0)
            self._newest[pid] = used

    def usage(self) -> Usage:
        self._usage.cpu_seconds = sum(self._newest[pid] - self._first[pid] for pid in self._newest)
        return self._usage
