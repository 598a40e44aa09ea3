"""A service in full, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from argosy.api.views import ReplicaView, RevisionView, ServiceView
from argosy.cli.output import show, table
from argosy.clock import timestamp_text
from argosy.units import format_duration

_RELEASES_SHOWN = 10


def service_lines(service: ServiceView) -> None:
    for name, text in _facts(service):
        show(f"{name:<10} {text}")
    show()
    columns = ("REVISION", "TRAFFIC", "STATE", "REPLICAS", "CREATED", "BY", "WHY")
    if service.revisions:
        table(columns, [row for revision in service.revisions for row in _revision_rows(revision)])
    _section("processes that are not ready", list(_troubled(service)))
    _section("shadow", list(_comparisons(service)))
    _section("releases", list(_releases(service)))


def _facts(service: ServiceView) -> Iterator[tuple[str, str]]:
    yield "service", service.name
    yield "state", f"{service.state}{f', {service.reason}' if service.reason else ''}"
    yield "address", service.url or "none yet"
    yield "strategy", f"{service.strategy}, {_bounds(service)} of each model"
    if service.aggregate:
        yield "aggregate", service.aggregate
    if service.scaling:
        yield "scaling", service.scaling
    for number, limit in enumerate(_limits(service.options)):
        yield "" if number else "limits", limit
    yield "created", timestamp_text(service.created_at)


def _bounds(service: ServiceView) -> str:
    least, most = service.replicas
    return f"{least} to {most} replicas" if least != most else f"{least} replica{'s' * (least != 1)}"


def _limits(options: Mapping[str, Any]) -> Iterator[str]:
    access = options.get("access") or {}
    if access.get("require_token"):
        yield "every caller needs a token"
    for tier, limit in (access.get("tiers") or {}).items():
        yield f"{tier}: {', '.join(_limit(limit)) or 'none'}"


def _limit(limit: Mapping[str, Any]) -> Iterator[str]:
    if limit.get("concurrency") is not None:
        yield f"{limit['concurrency']} at once"
        if limit.get("queue"):
            yield f"{limit['queue']} wait"
    if limit.get("requests") is not None:
        period = format_duration(float(limit.get("period_seconds", 60.0)))
        yield f"{limit['requests']} in {period} for each caller"


def _revision_rows(revision: RevisionView) -> list[tuple[str, ...]]:
    number = f"{revision.revision}"
    if revision.version and revision.version != revision.revision:
        number += f" (version {revision.version})"
    replicas = [replica for member in revision.members for replica in member.replicas]
    whole = (
        number,
        _traffic(revision),
        revision.state,
        _ready(replicas),
        timestamp_text(revision.created_at),
        revision.user or revision.run,
        revision.reason,
    )
    members = [
        (f"  {member.name}", "", member.digest[:12], _ready(member.replicas), "", "", "")
        for member in revision.members
    ]
    if revision.routers:
        members.append(("  router", "", "", _ready(revision.routers), "", "", ""))
    return [whole, *members]


def _ready(replicas: list[ReplicaView]) -> str:
    return f"{sum(replica.state == 'ready' for replica in replicas)}/{len(replicas)}"


def _traffic(revision: RevisionView) -> str:
    parts = [f"{revision.percent} %"] if revision.percent else []
    parts += [f"shadow {revision.shadow_percent} %"] if revision.shadow_percent else []
    return ", ".join([*parts, *revision.headers]) or "none"


def _troubled(service: ServiceView) -> Iterator[str]:
    for revision in service.revisions:
        replicas = [replica for member in revision.members for replica in member.replicas]
        for replica in (*replicas, *revision.routers):
            if replica.state != "ready" and replica.reason:
                yield f"{replica.replica} is {replica.state}: {replica.reason}"


def _comparisons(service: ServiceView) -> Iterator[str]:
    for revision in service.revisions:
        found = revision.comparison
        if found is None:
            continue
        text = f"revision {revision.revision}: {found.requests:,} requests, {found.failures:,} failed"
        if found.agreement is not None:
            text += f"; the same best class for {found.agreement:.2%} of {found.instances:,} instances"
        if found.largest_difference is not None:
            text += f"; largest difference {found.largest_difference:.3g}"
        yield text


def _releases(service: ServiceView) -> Iterator[str]:
    newest = sorted(service.releases, key=lambda release: -release.time)
    for release in newest[:_RELEASES_SHOWN]:
        shares = " ".join(f"{revision}={percent}" for revision, percent in release.traffic.items())
        by = f" by {release.user}" if release.user else ""
        why = f": {release.reason}" if release.reason else ""
        yield f"{timestamp_text(release.time)} {release.action} {shares}{by}{why}"
    if len(newest) > _RELEASES_SHOWN:
        yield f"... and {len(newest) - _RELEASES_SHOWN} earlier; --json prints them all"


def _section(title: str, lines: list[str]) -> None:
    if lines:
        show(f"\n{title}:")
        for text in lines:
            show(f"  {text}")
