"""What the runtime says of an attempt, as an event of the serve room."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from argosy.runtime.protocol import Ended, Reported, RuntimeEvent, Started
from argosy.serve.lifecycle.events import (
    Compared,
    ProcessEnded,
    ProcessStarted,
    ReplicaListening,
    ServeEvent,
)
from argosy.serve.lifecycle.state import Comparison
from argosy.serve.manager.processes import ending

log = logging.getLogger(__name__)


def heard(event: RuntimeEvent, now: float) -> ServeEvent | None:
    """None for what says nothing about a service."""
    match event:
        case Started(attempt=attempt, token=token, processes=processes):
            return ProcessStarted(now, attempt, token, processes[0][0])
        case Reported(kind="listening", body=body):
            ports = int(body["port"]), int(body.get("grpc_port") or 0)
            return ReplicaListening(now, event.attempt, event.token, *ports)
        case Reported(kind="comparison", body=body):
            return _compared(event, body, now)
        case Ended(attempt=attempt, token=token, outcome=outcome):
            return ProcessEnded(now, attempt, token, ending(outcome))
        case _:
            return None


def _compared(event: Reported, body: dict[str, Any], now: float) -> Compared | None:
    try:
        counts = msgspec.convert(body, Comparison)
    except msgspec.ValidationError as error:
        log.warning("%s reported a comparison that can not be read: %s", event.attempt, error)
        return None
    return Compared(now, event.attempt, event.token, counts)
