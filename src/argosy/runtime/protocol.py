"""What passes between the control plane, the launcher and the processes it starts."""

from __future__ import annotations

import enum
from typing import Any, NewType

import msgspec

from argosy.artifacts.reference import Value

AttemptId = NewType("AttemptId", str)


class Cause(enum.StrEnum):
    """Why an attempt ended. Recorded, shown, and what retries are decided on."""

    SUCCEEDED = "succeeded"
    ERROR = "error"  # the step raised
    IMPORT_ERROR = "import_error"  # the user's module could not be imported
    EXIT = "exit"  # a non-zero exit code without a report
    SIGNAL = "signal"  # killed by a signal that Argosy did not send
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    OUTPUT_LIMIT = "output_limit"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    CORRUPT_INPUT = "corrupt_input"  # an input artifact is missing or does not match its digest
    LOST = "lost"  # nobody knows: the launcher or the machine went away


class StepCall(msgspec.Struct, frozen=True, tag="step"):
    """Call ``module.function`` of a source snapshot on ``arguments``; store what it returns as ``output``."""

    source: str
    module: str
    function: str
    arguments: dict[str, Value]
    output: str


class EntryCall(msgspec.Struct, frozen=True, tag="entry"):
    """Call ``module.function(payload)`` of Argosy itself in a warm process (a model server, the router)."""

    module: str
    function: str
    payload: dict[str, Any]


class Program(msgspec.Struct, frozen=True, tag="program"):
    """Replace the process by an executable (Envoy)."""

    argv: tuple[str, ...]


Call = StepCall | EntryCall | Program


class AttemptSpec(msgspec.Struct, frozen=True):
    """Everything needed to start one attempt: ``workers`` ranks, all or none, which die as one.

    ``token`` is the fencing token: reports carry it and a superseded one is dropped. ``directory`` is a
    scratch folder of this attempt, removed after it; ``node_directory`` (checkpoints, TensorBoard files)
    outlives attempts. ``log`` is a path pattern with ``{rank}``. ``memory`` is bytes a rank may hold; None
    limits nothing. The launcher never restarts anything by itself.
    """

    attempt: AttemptId
    token: int
    call: Call
    directory: str
    log: str
    workers: int = 1
    cpu: float = 1.0
    preload: tuple[str, ...] = ()
    node_directory: str = ""
    memory: int | None = None
    timeout_seconds: float | None = None
    output_limit: int = 256 * 2**20
    environment: dict[str, str] = {}
    grace_seconds: float = 5.0
    labels: dict[str, str] = {}


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an attempt ended: the cause, a sentence for people, and the evidence."""

    cause: Cause
    message: str = ""
    rank: int = 0
    exit_code: int | None = None
    signal: int | None = None
    error_type: str = ""
    traceback: str = ""
    line: int | None = None
    peak_memory: int = 0


class Started(msgspec.Struct, frozen=True, tag="started"):
    """Every rank of the gang runs. ``processes`` holds (pid, start time in clock ticks) by rank."""

    attempt: AttemptId
    token: int
    processes: tuple[tuple[int, int], ...]
    time: float


class Reported(msgspec.Struct, frozen=True, tag="reported"):
    """A rank said something: ``kind`` is ``metrics``, ``progress``, ``listening`` or ``event``."""

    attempt: AttemptId
    token: int
    rank: int
    kind: str
    body: dict[str, Any]
    time: float


class Sampled(msgspec.Struct, frozen=True, tag="sampled"):
    """What a rank and its children use: cores over the last interval, resident bytes."""

    attempt: AttemptId
    token: int
    rank: int
    cpu: float
    memory: int
    time: float


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The attempt is over and none of its processes is left. ``output`` is set when it succeeded."""

    attempt: AttemptId
    token: int
    outcome: Outcome
    time: float
    output: Value | None = None


RuntimeEvent = Started | Reported | Sampled | Ended
