"""Joins the activator to the services: what there is goes to it, what it needs comes back."""

from __future__ import annotations

from collections.abc import Callable

from argosy.errors import Unavailable
from argosy.serve.activator.activator import Activator
from argosy.serve.activator.supplies import owner, supplies
from argosy.serve.http.server import Listening, listen
from argosy.serve.lifecycle.events import ReplicasDemanded
from argosy.serve.lifecycle.state import ServeState, Settings


class Activation:
    """The activator of a control plane, on the unix socket ``address``."""

    def __init__(
        self,
        address: str,
        state: Callable[[], ServeState],
        on_demand: Callable[[str], None],
        settings: Settings,
    ) -> None:
        self._settings = settings
        self._address = address
        self._state = state
        self._activator = Activator(on_demand)
        self._listening: Listening | None = None

    async def start(self) -> None:
        """Raises Unavailable when there can be no socket."""
        try:
            self._listening = await listen(self._activator, self._address)
        except OSError as error:
            raise Unavailable(
                f"the activator can not listen at {self._address}: {error.strerror or error}",
                hint="make the folder writable, or free some space",
            ) from None

    def supply(self, state: ServeState) -> None:
        self._activator.supply(supplies(state, self._settings.hopeless_failures))

    def waiting(self, cluster: str) -> int:
        """How many requests to a cluster are at the activator."""
        return self._activator.waiting(cluster)

    def demanded(self, cluster: str, now: float) -> ReplicasDemanded | None:
        found = owner(self._state(), cluster)
        return ReplicasDemanded(now, *found) if found else None

    async def close(self) -> None:
        await self._activator.close()
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.close()
