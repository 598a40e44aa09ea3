"""What the control plane needs of the serve room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from argosy.api.views import ServiceView
from argosy.errors import NotFound
from argosy.serve.deployment import Deployment
from argosy.serve.gateway.topology import HeaderRule, RevokedToken, Share


class ServiceControl(Protocol):
    """Who keeps services (argosy.serve.manager.manager.ServiceManager). Raises ArgosyError for what is wrong.

    Requests move when every revision they are to come to can answer: then ``views`` has one release more.
    """

    def deploy(self, deployment: Deployment) -> None: ...

    def scale(self, name: str, least: int, most: int, user: str) -> None: ...

    def set_traffic(
        self, name: str, shares: tuple[Share, ...], headers: tuple[HeaderRule, ...], user: str
    ) -> None: ...

    def promote(self, name: str, revision: int, reason: str, user: str) -> None: ...

    def rollback(self, name: str, user: str) -> None: ...

    def delete(self, name: str) -> None: ...

    def set_revoked(self, revoked: tuple[RevokedToken, ...]) -> None: ...

    def views(self) -> list[ServiceView]: ...


def find_service(services: Sequence[ServiceView], name: str) -> ServiceView:
    """The view of a service. Raises NotFound with the nearest name."""
    import difflib

    for view in services:
        if view.name == name:
            return view
    names = [view.name for view in services]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"there is {', '.join(names)}" if names else "'argosy serve MODEL --name NAME' makes one"
    raise NotFound(f"there is no service {name!r}", hint=hint)
