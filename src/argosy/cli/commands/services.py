"""``argosy services``."""

from __future__ import annotations

from argosy.api.views import ServiceView
from argosy.cli.output import document, say, table
from argosy.client.client import ControlClient
from argosy.home import Home


def services(as_json: bool) -> None:
    found = ControlClient(Home.from_environment()).services()
    if as_json:
        document(found)
        return
    if not found:
        say("there are no services: a workflow makes one with argosy.serve(...)")
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
    whole = (service.name, service.state, str(service.revision), f"{ready}/{len(replicas)}", service.url)
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
