"""The rows of the metadata store, as the rest of Argosy writes and reads them.

A record is written whole: an equal key replaces the row. Values typed ``bytes`` hold JSON.
"""

from __future__ import annotations

import msgspec


class RunRecord(msgspec.Struct, frozen=True):
    """Key: ``run``. ``state``: running · succeeded · failed · cancelled."""

    run: str
    workflow: str
    state: str
    created_at: float
    graph: bytes
    ended_at: float | None = None
    user: str = ""
    reason: str = ""
    output: bytes | None = None


class NodeRecord(msgspec.Struct, frozen=True):
    """Key: (``run``, ``node``). ``position`` orders a run's nodes; ``output`` is a Value as JSON."""

    run: str
    node: str
    position: int
    step: str
    kind: str
    state: str
    label: str = ""
    reason: str = ""
    memo: str = ""
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    output: bytes | None = None
    upstream: tuple[str, ...] = ()


class AttemptRecord(msgspec.Struct, frozen=True):
    """Key: ``attempt``. ``state``: queued · starting · running · ended. ``inputs`` maps argument to
    fingerprint, ``environment`` names versions; ``processes`` holds [pid, start ticks] by rank."""

    attempt: str
    run: str
    node: str
    number: int
    token: int
    state: str
    workers: int = 1
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    cause: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    line: int | None = None
    traceback: str = ""
    peak_memory: int = 0
    inputs: bytes | None = None
    environment: bytes | None = None
    processes: bytes | None = None


class EventRecord(msgspec.Struct, frozen=True):
    """Key: (``run``, ``sequence``), consecutive from 1. ``body`` is the engine's event as JSON."""

    run: str
    sequence: int
    time: float
    kind: str
    body: bytes


class ArtifactRecord(msgspec.Struct, frozen=True):
    """Key: (``digest``, ``type``). ``produced_by`` is the first attempt that stored it."""

    digest: str
    type: str
    size: int
    created_at: float
    produced_by: str = ""


class MemoRecord(msgspec.Struct, frozen=True):
    """Key: ``key``, a digest of step, code, inputs and version. ``parts`` holds the digests it is made of, as
    JSON, to say what changed when a later key misses."""

    key: str
    step: str
    created_at: float
    output: bytes
    parts: bytes
    run: str
    node: str


class MetricRecord(msgspec.Struct, frozen=True):
    """Key: (``attempt``, ``rank``, ``name``, ``step``)."""

    attempt: str
    rank: int
    name: str
    step: int
    value: float
    time: float
    epoch: int | None = None


class SampleRecord(msgspec.Struct, frozen=True):
    """Key: (``attempt``, ``rank``, ``time``). ``cpu`` in cores, ``memory`` in bytes."""

    attempt: str
    rank: int
    time: float
    cpu: float
    memory: int


class ServiceRecord(msgspec.Struct, frozen=True):
    """Key: ``service``. ``specification`` and ``state`` are the serve room's own JSON."""

    service: str
    revision: int
    created_at: float
    specification: bytes
    state: bytes


class TokenRecord(msgspec.Struct, frozen=True):
    """Key: ``token``, the id that the token's text carries; the text itself is nowhere."""

    token: str
    user: str
    group: str
    tier: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None


class AuditRecord(msgspec.Struct, frozen=True):
    """Key: all down to ``outcome``. ``hour`` is the time of its beginning. ``outcome``: answered · invalid ·
    failed · abandoned · refused: LIMIT. Bytes are of bodies, ``seconds`` the sum of all durations."""

    hour: int
    user: str
    group: str
    tier: str
    service: str
    outcome: str
    requests: int
    received: int
    sent: int
    seconds: float
    first_at: float
    last_at: float


class AuditPosition(msgspec.Struct, frozen=True):
    """Key: ``log``. Of the file with this inode everything before ``offset`` is counted."""

    log: str
    file: int
    offset: int


Record = (
    RunRecord
    | NodeRecord
    | AttemptRecord
    | EventRecord
    | ArtifactRecord
    | MemoRecord
    | MetricRecord
    | SampleRecord
    | ServiceRecord
    | TokenRecord
    | AuditPosition
)
