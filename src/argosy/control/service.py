"""What the HTTP API needs of the control plane: one method a route."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from argosy.api.serving import (
    AuditView,
    ChangeView,
    PromoteRequest,
    RollbackRequest,
    ScaleRequest,
    ServeProgress,
    ServeRequest,
    TokenCreated,
    TokenRequest,
    TokenView,
    TrafficRequest,
)
from argosy.api.views import (
    LogLine,
    RunRequest,
    RunSummary,
    RunView,
    ServiceView,
    ShutdownRequest,
    ShutdownView,
    StatusView,
)


class ServingService(Protocol):
    """Services, the tokens of their callers, and what those asked. Raises as ControlService does."""

    async def services(self) -> list[ServiceView]: ...

    async def service(self, name: str) -> ServiceView:
        """Raises NotFound, here and below, where a service is named."""
        ...

    async def serve(self, request: ServeRequest) -> AsyncIterator[ServeProgress]:
        """What can be seen to be wrong at once is raised here, the rest by the iterator."""
        ...

    async def delete(self, name: str) -> ServiceView:
        """Stop the service for good; its last view."""
        ...

    async def scale(self, name: str, request: ScaleRequest) -> ChangeView: ...

    async def set_traffic(self, name: str, request: TrafficRequest) -> ChangeView: ...

    async def promote(self, name: str, request: PromoteRequest) -> ChangeView:
        """Raises Conflict when the revision is worse than what serves."""
        ...

    async def roll_back(self, name: str, request: RollbackRequest) -> ChangeView: ...

    async def create_token(self, request: TokenRequest) -> TokenCreated: ...

    async def revoke_token(self, token: str) -> TokenView: ...

    async def tokens(self) -> list[TokenView]: ...

    async def audit(self, since: float, user: str | None, service: str | None) -> list[AuditView]:
        """What was asked since a time, of one user (empty: without a token) or service where one is named,
        the newest hour first."""
        ...


class ControlService(Protocol):
    """Every method raises ArgosyError for what a caller can act on; anything else is a fault of Argosy."""

    @property
    def serving(self) -> ServingService:
        """Everything about services."""
        ...

    async def submit(self, request: RunRequest) -> RunView:
        """Record and start a run. Raises InvalidGraph or InvalidRequest, and then leaves no trace."""
        ...

    async def run(self, run: str) -> RunView:
        """Raises NotFound."""
        ...

    async def runs(self, limit: int) -> list[RunSummary]:
        """The newest first."""
        ...

    async def cancel(self, run: str) -> RunView:
        """Ask for the run's end; the answer may say it runs. Raises NotFound, Conflict if it is over."""
        ...

    async def watch(self, run: str) -> AsyncIterator[RunView]:
        """The run now, then at each change (the final state at once), ending with the run. Raises NotFound
        here, not from the iterator. Closing the iterator ends the watch."""
        ...

    async def logs(self, run: str, node: str | None, follow: bool) -> AsyncIterator[Sequence[LogLine]]:
        """Lines in batches, as they are at hand: each (attempt, rank) from its first line on and in order,
        whoever asks and whenever. ``follow`` waits for more until the run is over. Raises NotFound for the
        run or the node here, not from the iterator."""
        ...

    async def status(self) -> StatusView: ...

    async def shut_down(self, request: ShutdownRequest) -> ShutdownView:
        """Begin a clean stop and say at once what it ends; the process goes after the answer is sent."""
        ...
