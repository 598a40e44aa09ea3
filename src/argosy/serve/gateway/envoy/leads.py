"""Which requests lead to which clusters: names, versions, headers and shares, before they are routes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from argosy.flow.service_options import Balancing, BalancingPolicy
from argosy.serve.gateway.envoy.json_types import Json, header_is, header_present
from argosy.serve.gateway.envoy.names import (
    GRPC_SERVICE,
    MODEL_HEADER,
    MODEL_VERSION_HEADER,
    SHARD_KEY_HEADER,
    base_cluster,
    grpc_cluster,
)
from argosy.serve.gateway.topology import Backend, Cluster, PublicService, Shadow, Topology

INFER = f"{GRPC_SERVICE}ModelInfer"
READY = f"{GRPC_SERVICE}ModelReady"
METADATA = f"{GRPC_SERVICE}ModelMetadata"


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster, the revision it belongs to, and its part of the requests."""

    cluster: str
    revision: int
    weight: int
    balancing: Balancing


@dataclass(frozen=True, slots=True)
class Lead:
    """Requests that match any of ``matches`` go to ``targets``. ``body_bytes`` is above 0 for streaming."""

    service: str
    model: str
    matches: tuple[Json, ...]
    targets: tuple[Target, ...]
    body_bytes: int = 0
    shadow: Shadow | None = None
    grpc: bool = False

    def speaks_grpc(self, clusters: dict[str, Cluster]) -> bool:
        """Whether one of its replicas does, or may once there are any."""
        known = [clusters.get(base_cluster(target.cluster)) for target in self.targets]
        return any(one is None or not one.endpoints or one.speaks_grpc for one in known)


@dataclass(frozen=True, slots=True)
class Living:
    """A public service with its living revisions, the one with the most requests first."""

    service: PublicService
    backends: tuple[Backend, ...]
    clusters: dict[str, Cluster]

    @property
    def all_names(self) -> list[str]:
        return list({name: None for backend in self.backends for name, _ in backend.models})

    @property
    def names(self) -> list[str]:
        """Every model name that leads somewhere without naming a version."""
        led = {name: None for backend in self._led() for name, _ in backend.models}
        return list(led)

    def _led(self) -> list[Backend]:
        wanted = {share.revision for share in self.service.shares if share.percent}
        wanted |= {rule.revision for rule in self.service.headers}
        return [backend for backend in self.backends if backend.revision in wanted]


def living(topology: Topology) -> list[Living]:
    """The public services, those that take large bodies first."""
    clusters = {cluster.name: cluster for cluster in topology.clusters}
    found = [
        Living(service, _by_share(service, topology.backends), clusters) for service in topology.services
    ]
    found = [one for one in found if one.backends]
    return sorted(found, key=lambda one: not any(backend.streaming for backend in one.backends))


def leads(one: Living, *, grpc: bool = False) -> list[Lead]:
    """In the order in which they are tried: a version that is named, a header's rule, the shares."""
    return [*version_leads(one, grpc=grpc), *plain_leads(one, grpc=grpc)]


def version_leads(one: Living, *, grpc: bool = False) -> list[Lead]:
    """Requests that name a version: of every revision that lives, with or without a share."""
    return [lead for name in one.all_names for lead in _versions(one, name, grpc=grpc)]


def plain_leads(one: Living, *, grpc: bool = False) -> list[Lead]:
    """Requests that do not."""
    found: list[Lead] = []
    for name in one.all_names:
        found += _rules(one, name, grpc=grpc)
        found += _shares(one, name, grpc=grpc)
    return found


def internal_leads(backend: Backend, clusters: dict[str, Cluster]) -> list[Lead]:
    """One revision by itself."""
    one = Living(PublicService(backend.service, ()), (backend,), clusters)
    return [
        _lead(one, name, [(backend, 100)], plain_matches(name, grpc=grpc), grpc=grpc)
        for name, _ in backend.models
        for grpc in (False, True)
    ]


def plain_matches(model: str, *, grpc: bool = False, headers: Sequence[Json] = ()) -> tuple[Json, ...]:
    """``/v1/models/NAME`` with ``:...``, ``/...`` or nothing after it, the like for V2, and no name that
    begins alike."""
    named = [header_is(MODEL_HEADER, model), header_present(MODEL_VERSION_HEADER, present=False)]
    return _matches(model, "", named, grpc, headers)


def version_matches(model: str, version: int, *, grpc: bool = False) -> tuple[Json, ...]:
    named = [header_is(MODEL_HEADER, model), header_is(MODEL_VERSION_HEADER, str(version))]
    return _matches(model, f"/versions/{version}", named, grpc, ())


def any_version_matches(model: str) -> tuple[Json, ...]:
    return tuple({"path_separated_prefix": f"/{api}/models/{model}/versions"} for api in ("v1", "v2"))


def _matches(
    model: str, suffix: str, named: list[Json], grpc: bool, headers: Sequence[Json]
) -> tuple[Json, ...]:
    if grpc:
        wanted = [*named, *headers]
        return tuple({"path": path, "headers": wanted} for path in (INFER, READY, METADATA))
    path = f"/v1/models/{model}{suffix}"
    found: tuple[Json, ...] = (
        {"prefix": f"{path}:"},
        {"path_separated_prefix": path},
        {"path_separated_prefix": f"/v2/models/{model}{suffix}"},
    )
    return tuple({**match, "headers": list(headers)} for match in found) if headers else found


def _versions(one: Living, name: str, *, grpc: bool) -> list[Lead]:
    found: dict[int, Lead] = {}
    for backend in one.backends:
        if backend.version not in found and name in dict(backend.models):
            matches = version_matches(name, backend.version, grpc=grpc)
            found[backend.version] = _lead(one, name, [(backend, 100)], matches, grpc=grpc)
    return list(found.values())


def _rules(one: Living, name: str, *, grpc: bool) -> list[Lead]:
    by_revision = {backend.revision: backend for backend in one.backends}
    found = []
    for rule in one.service.headers:
        backend = by_revision.get(rule.revision)
        if backend is not None and name in dict(backend.models):
            matches = plain_matches(name, grpc=grpc, headers=[header_is(rule.header.lower(), rule.value)])
            found.append(_lead(one, name, [(backend, 100)], matches, grpc=grpc))
    return found


def _shares(one: Living, name: str, *, grpc: bool) -> list[Lead]:
    percent = {share.revision: share.percent for share in one.service.shares}
    weighted = [
        (backend, percent[backend.revision])
        for backend in one.backends
        if percent.get(backend.revision) and name in dict(backend.models)
    ]
    if not weighted:
        return []
    # The comparer asks for the service itself, over HTTP.
    shadow = one.service.shadow if name == one.service.name and not grpc else None
    return [_lead(one, name, weighted, plain_matches(name, grpc=grpc), grpc=grpc, shadow=shadow)]


def _lead(
    one: Living,
    name: str,
    weighted: Iterable[tuple[Backend, int]],
    matches: tuple[Json, ...],
    *,
    grpc: bool,
    shadow: Shadow | None = None,
) -> Lead:
    pairs = list(weighted)
    targets = []
    for backend, weight in pairs:
        cluster = dict(backend.models)[name]
        balancing = _balancing(one, backend, name, cluster)
        led_to = grpc_cluster(cluster) if grpc else cluster
        targets.append(Target(led_to, backend.revision, weight, balancing))
    # Only the router streams: what it sends to its shards is small, kept whole and may be sent twice.
    streaming = [backend.body_bytes for backend, _ in pairs if backend.streaming and name == backend.service]
    body_bytes = max(streaming, default=0)
    return Lead(one.service.name, name, matches, tuple(targets), body_bytes, shadow, grpc)


def _balancing(one: Living, backend: Backend, name: str, cluster: str) -> Balancing:
    if backend.streaming and name != backend.service:
        return Balancing(BalancingPolicy.RING_HASH, SHARD_KEY_HEADER)
    known = one.clusters.get(cluster)
    return known.balancing if known else Balancing()


def _by_share(service: PublicService, backends: tuple[Backend, ...]) -> tuple[Backend, ...]:
    percent = {share.revision: share.percent for share in service.shares}
    of_service = [backend for backend in backends if backend.service == service.name]
    return tuple(sorted(of_service, key=lambda one: (-percent.get(one.revision, 0), -one.revision)))
