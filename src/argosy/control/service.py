"""What the HTTP API needs of the control plane: one method a route."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

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


class ControlService(Protocol):
    """Every method raises ArgosyError for what a caller can act on; anything else is a fault of Argosy."""

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

    async def services(self) -> list[ServiceView]: ...

    async def delete_service(self, service: str) -> ServiceView:
        """Stop the service for good; its last view. Raises NotFound."""
        ...

    async def status(self) -> StatusView: ...

    async def shut_down(self, request: ShutdownRequest) -> ShutdownView:
        """Begin a clean stop and say at once what it ends; the process goes after the answer is sent."""
        ...
