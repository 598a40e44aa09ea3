"""``argosy services``, ``service``, and the commands that change one."""

from __future__ import annotations

from collections.abc import Sequence

from argosy.api.serving import (
    ChangeView,
    PromoteRequest,
    RollbackRequest,
    ScaleRequest,
    TrafficRequest,
)
from argosy.api.views import ServiceView
from argosy.cli.output import document, say, table
from argosy.cli.output import show as line
from argosy.cli.service_arguments import parse_header, parse_replicas, parse_revision, parse_shares
from argosy.client.client import ControlClient
from argosy.home import Home

_NONE = "there are no services: 'argosy serve MODEL --name NAME' makes one, and so does argosy.serve(...)"


def _client() -> ControlClient:
    return ControlClient(Home.from_environment())


def services(as_json: bool) -> None:
    found = _client().services()
    if as_json:
        document(found)
        return
    if not found:
        say(_NONE)
        return
    columns = ("SERVICE", "STATE", "REVISION", "REPLICAS", "ADDRESS")
    table(columns, [row for service in found for row in _rows(service)])
    for service in found:
        if service.reason:
            say(f"{service.name}: {service.reason}")


def _rows(service: ServiceView) -> list[tuple[str, ...]]:
    """The service, and under it each model it is made of."""
    replicas = [replica for member in service.members for replica in member.replicas]
    ready = sum(replica.state == "ready" for replica in replicas)
    traffic = _traffic(service)
    whole = (service.name, service.state, traffic, f"{ready}/{len(replicas)}", service.url)
    members = [
        (
            f"  {member.name}",
            "",
            member.digest[:12],
            f"{sum(replica.state == 'ready' for replica in member.replicas)}/{len(member.replicas)}",
            member.url,
        )
        for member in service.members
    ]
    return [whole, *members]


def _traffic(service: ServiceView) -> str:
    """The revision, or several with their shares."""
    shares = [(one.revision, one.percent) for one in service.revisions if one.percent]
    if len(shares) < 2:
        return str(service.revision)
    return " ".join(f"{revision}={percent}%" for revision, percent in shares)


def service(name: str, as_json: bool) -> None:
    found = _client().service(name)
    if as_json:
        document(found)
        return
    from argosy.cli.service_details import service_lines

    service_lines(found)


def scale(name: str, replicas: str, user: str, as_json: bool) -> None:
    least, most = parse_replicas(replicas)
    _tell(_client().scale(name, ScaleRequest(least, most, user)), as_json)


def delete(name: str, as_json: bool) -> None:
    last = _client().delete_service(name)
    if as_json:
        document(last)
    else:
        line(f"service {last.name} is deleted; it finishes the requests it has")


def promote(
    name: str, revision: str, *, data: str, force: bool, margin: float, user: str, as_json: bool
) -> None:
    from pathlib import Path

    number = parse_revision(revision)
    # The control plane's working directory is another.
    place = str(Path(data).absolute()) if data and Path(data).is_dir() else data
    if not force:
        say(f"comparing revision {number} with what serves")
    request = PromoteRequest(number, data=place, force=force, margin=margin, user=user)
    _tell(_client().promote(name, request), as_json)


def rollback(name: str, user: str, as_json: bool) -> None:
    _tell(_client().roll_back(name, RollbackRequest(user)), as_json)


def traffic(name: str, shares: Sequence[str], headers: Sequence[str], user: str, as_json: bool) -> None:
    request = TrafficRequest(parse_shares(shares), [parse_header(text) for text in headers], user)
    _tell(_client().set_traffic(name, request), as_json)


def _tell(change: ChangeView, as_json: bool) -> None:
    if as_json:
        document(change)
    else:
        line(change.message)
