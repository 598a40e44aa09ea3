"""What the gateway must know to lead every request where it belongs."""

from __future__ import annotations

from dataclasses import dataclass, field

from argosy.flow.service_options import Access, Balancing


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One process that answers. ``key`` is its place in the service (``MEMBER.INDEX``): with it a process
    that replaces another takes over its share of a hash ring. ``grpc_port`` is 0 where there is none."""

    key: str
    port: int
    grpc_port: int = 0


@dataclass(frozen=True, slots=True)
class Cluster:
    """The ready replicas of one model, or the routers of one revision.

    While it has no healthy endpoint its requests go to the activator, which knows it by ``name``. ``room`` is
    how many requests all of them together take at once, whether under way or waiting; 0 bounds nothing.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    balancing: Balancing = field(default_factory=Balancing)
    room: int = 0

    @property
    def speaks_grpc(self) -> bool:
        return any(endpoint.grpc_port for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True)
class Backend:
    """One living revision of a service. ``models`` maps each model name a caller may use to its cluster, the
    service's own name first. ``authority`` names the revision on the internal side. ``version`` is the number
    in ``/versions/N``. A ``streaming`` one takes bodies of up to ``body_bytes`` that are not kept whole, and
    therefore are not sent twice."""

    service: str
    revision: int
    authority: str
    models: tuple[tuple[str, str], ...]
    version: int
    streaming: bool = False
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """``percent`` of the requests of a service; the shares of one service add up to 100."""

    revision: int
    percent: int


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """Requests whose ``header`` has exactly this ``value`` go to this revision, whatever the shares."""

    header: str
    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class Shadow:
    """A copy of ``percent`` of the predictions goes to ``cluster``, the comparer of ``revision``."""

    revision: int
    percent: int
    cluster: str


@dataclass(frozen=True, slots=True)
class PublicService:
    """What callers reach under the service's name."""

    name: str
    shares: tuple[Share, ...]
    headers: tuple[HeaderRule, ...] = ()
    shadow: Shadow | None = None
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """A token that is refused though its signature and its time are good."""

    token: str
    user: str


@dataclass(frozen=True, slots=True)
class Topology:
    clusters: tuple[Cluster, ...] = ()
    backends: tuple[Backend, ...] = ()
    services: tuple[PublicService, ...] = ()
    revoked: tuple[RevokedToken, ...] = ()
