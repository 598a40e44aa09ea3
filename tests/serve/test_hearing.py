"""What the runtime says, as the serve room takes it."""

from __future__ import annotations

import pytest

from argosy.runtime.protocol import AttemptId, Cause, Ended, Outcome, Reported, RuntimeEvent, Sampled, Started
from argosy.serve.lifecycle.events import (
    Compared,
    ProcessEnded,
    ProcessStarted,
    ReplicaListening,
    ServeEvent,
)
from argosy.serve.lifecycle.state import Comparison
from argosy.serve.manager.hearing import heard

WHO = AttemptId("service-fashion.r1.cnn.0")


def reported(kind: str, **body: object) -> Reported:
    return Reported(WHO, 7, 0, kind, body, 5.0)


@pytest.mark.parametrize(
    ("event", "means"),
    [
        (Started(WHO, 7, ((42, 1),), 5.0), ProcessStarted(9.0, WHO, 7, 42)),
        (reported("listening", port=80), ReplicaListening(9.0, WHO, 7, 80)),
        (reported("listening", port=80, grpc_port=81), ReplicaListening(9.0, WHO, 7, 80, 81)),
        (reported("listening", port=80, grpc_port=None), ReplicaListening(9.0, WHO, 7, 80)),
        (
            reported("comparison", requests=3, failures=1, instances=6, agreement=0.5, more="unknown"),
            Compared(9.0, WHO, 7, Comparison(3, 1, 6, 0.5)),
        ),
        (reported("comparison", requests="many"), None),
        (reported("metrics", step=1), None),
        (
            Ended(WHO, 7, Outcome(Cause.SIGNAL, signal=9), 5.0),
            ProcessEnded(9.0, WHO, 7, "it was killed by signal 9"),
        ),
        (Sampled(WHO, 7, 0, 0.5, 100, 5.0), None),
    ],
)
def test_what_is_said_of_a_process_is_an_event_or_nothing(
    event: RuntimeEvent, means: ServeEvent | None
) -> None:
    assert heard(event, 9.0) == means
