"""Work of the control plane itself in processes of their own: started, waited for, ended with who waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from argosy import errors
from argosy.home import Home
from argosy.runtime.protocol import (
    AttemptId,
    AttemptSpec,
    Cause,
    Ended,
    EntryCall,
    Outcome,
    Reported,
    RuntimeEvent,
)

PREFIX = "task-"
Say = Callable[[str], None]
_LOG = logging.getLogger(__name__)
_KINDS: dict[str, type[errors.ArgosyError]] = {
    kind.__name__: kind
    for kind in (
        errors.InvalidRequest,
        errors.InvalidInput,
        errors.NotFound,
        errors.Conflict,
        errors.TooLarge,
        errors.Unavailable,
        errors.CorruptArtifact,
    )
}


class Processes(Protocol):
    """What of the runtime is used here."""

    def launch(self, spec: AttemptSpec) -> None: ...

    def stop(self, attempt: AttemptId, cause: Cause, message: str = "") -> None: ...

    def acknowledge(self, attempt: AttemptId, token: int) -> None: ...


class Tasks:
    """Calls of Argosy's own functions, each in a process that nobody else waits for."""

    def __init__(self, home: Home, processes: Processes) -> None:
        self._home = home
        self._processes = processes
        self._ended: dict[AttemptId, asyncio.Future[Outcome]] = {}
        self._listeners: dict[AttemptId, Say] = {}

    def start(self, alive: frozenset[tuple[AttemptId, int]]) -> None:
        """End what an earlier control plane waited for."""
        for attempt, _ in alive:
            if attempt.startswith(PREFIX):
                self._processes.stop(attempt, Cause.CANCELLED, "whoever waited for it has gone")

    def on_event(self, event: RuntimeEvent) -> None:
        """What the runtime says of attempts whose id starts with ``task-``."""
        if isinstance(event, Reported) and event.kind == "event" and event.attempt in self._listeners:
            self._listeners[event.attempt](str(event.body.get("message", "")))
        if not isinstance(event, Ended):
            return
        self._processes.acknowledge(event.attempt, event.token)
        ended = self._ended.pop(event.attempt, None)
        if ended is not None and not ended.done():
            ended.set_result(event.outcome)

    async def run(
        self,
        kind: str,
        module: str,
        function: str,
        payload: dict[str, Any],
        seconds: float,
        say: Say = lambda message: None,
    ) -> None:
        """Call ``module.function(payload)``; returns once its process is gone, also when it is cancelled.

        ``say`` hears what it reports. Raises the ArgosyError that the function raised, or one that says how
        its process ended.
        """
        attempt = AttemptId(f"{PREFIX}{kind}-{secrets.token_hex(6)}")
        log = self._home.logs / "tasks" / f"{attempt}.log"
        self._listeners[attempt] = say
        try:
            outcome = await self._outcome(
                self._spec(attempt, EntryCall(module, function, payload), log, seconds)
            )
        finally:
            del self._listeners[attempt]
        if outcome.cause is not Cause.SUCCEEDED:
            raise _error(kind, outcome, log)
        with contextlib.suppress(OSError):
            log.unlink()

    async def _outcome(self, spec: AttemptSpec) -> Outcome:
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._ended[spec.attempt] = ended
        self._processes.launch(spec)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            self._processes.stop(spec.attempt, Cause.CANCELLED, "whoever waited for it has gone")
            # What it was writing to may be removed only when nobody writes any more.
            await ended
            raise

    def _spec(self, attempt: AttemptId, call: EntryCall, log: Path, seconds: float) -> AttemptSpec:
        return AttemptSpec(
            attempt=attempt,
            token=1,
            call=call,
            directory=str(self._home.work / attempt),
            log=str(log),
            timeout_seconds=seconds,
            labels={"kind": "task"},
        )


def _error(kind: str, outcome: Outcome, log: Path) -> errors.ArgosyError:
    message, _, hint = outcome.message.partition("\nhint: ")
    known = _KINDS.get(outcome.error_type)
    if known is not None:
        return known(message, hint=hint)
    if not message:
        how = f"by signal {outcome.signal}" if outcome.signal else f"with exit code {outcome.exit_code}"
        message = f"its process ended {how} ({outcome.cause.value})"
    return errors.RunFailed(f"the {kind} failed: {message}", hint=hint or f"{log} tells what it did last")
