"""What the gateway wrote down, counted: by hour, caller, service and outcome."""

from __future__ import annotations

import msgspec

from argosy.flow.service_options import ANONYMOUS, SIGNED_IN
from argosy.metadata.records import AuditRecord

HOUR = 3600

_Key = tuple[int, str, str, str, str, str]

# Of gRPC, what says that the request was wrong: INVALID_ARGUMENT, NOT_FOUND, OUT_OF_RANGE, UNIMPLEMENTED.
_CALLERS_FAULT = (3, 5, 11, 12)


class Line(msgspec.Struct, gc=False):
    """One request, as serve/gateway/envoy/audit_log.py has it written. What is empty is left out."""

    time: str
    status: int = 0
    user: str = ""
    group: str = ""
    tier: str = ""
    service: str = ""
    grpc: int | None = None
    refused: str = ""
    received: int = 0
    sent: int = 0
    milliseconds: int = 0


_decode = msgspec.json.Decoder(Line).decode


def outcome(line: Line) -> str:
    """answered · invalid (the caller's mistake) · failed · abandoned (by the caller) · refused: LIMIT."""
    if line.refused:
        return f"refused: {line.refused}"
    if line.grpc:
        return "invalid" if line.grpc in _CALLERS_FAULT else "failed"
    if not line.status:
        return "abandoned"
    if line.status < 400:
        return "answered"
    if line.status == 429:
        return "refused: queue"
    return "invalid" if line.status < 500 else "failed"


def count(lines: bytes) -> list[AuditRecord]:
    """Whole lines as counts. A line that is none, torn by a crash or a full disk, is passed over."""
    counts: dict[_Key, list[float]] = {}
    for text in lines.splitlines():
        try:
            line = _decode(text)
            time = float(line.time)
        except (msgspec.MsgspecError, ValueError):
            continue
        tier = line.tier or (SIGNED_IN if line.user else ANONYMOUS)
        hour = int(time) // HOUR * HOUR
        key = (hour, line.user, line.group, tier, line.service, outcome(line))
        found = counts.get(key)
        if found is None:
            counts[key] = [1, line.received, line.sent, line.milliseconds, time, time]
            continue
        found[0] += 1
        found[1] += line.received
        found[2] += line.sent
        found[3] += line.milliseconds
        found[4] = min(found[4], time)
        found[5] = max(found[5], time)
    return [_record(key, found) for key, found in counts.items()]


def _record(key: _Key, found: list[float]) -> AuditRecord:
    requests, received, sent, milliseconds, first, last = found
    return AuditRecord(*key, int(requests), int(received), int(sent), milliseconds / 1000, first, last)
