"""What the gateway wrote down, counted: by hour, caller, service and outcome."""

from __future__ import annotations

from functools import cache

from argosy.flow.service_options import ANONYMOUS, SIGNED_IN
from argosy.metadata.records import AuditRecord
from argosy.serve.gateway.envoy.audit_log import EMPTY, FIELDS

HOUR = 3600

# Hours since the epoch, user, group, tier, service, outcome; as they stand in the line where empty.
_Key = tuple[int, str, str, str, str, str]

_GRPC_ANSWERED = (EMPTY, "0")
# INVALID_ARGUMENT, NOT_FOUND, OUT_OF_RANGE, UNIMPLEMENTED.
_GRPC_INVALID = ("3", "5", "11", "12")

_TABS = len(FIELDS) - 1
_COUNTED = 12


@cache
def outcome(status: str, grpc: str, refused: str) -> str:
    """answered · invalid (the caller's mistake) · failed · abandoned (by the caller) · refused: LIMIT."""
    if refused != EMPTY:
        return f"refused: {refused}"
    if grpc not in _GRPC_ANSWERED:
        return "invalid" if grpc in _GRPC_INVALID else "failed"
    if status < "100":
        return "abandoned"
    if status < "400":
        return "answered"
    if status == "429":
        return "refused: queue"
    return "invalid" if status < "500" else "failed"


def count(lines: bytes) -> list[AuditRecord]:
    """Whole lines as counts. A line that is none, torn by a crash or a full disk, is passed over."""
    counts: dict[_Key, list[float]] = {}
    for text in lines.decode(errors="replace").split("\n"):
        fields = text.split("\t", _TABS)
        if len(fields) == _TABS + 1:
            try:
                _add(counts, fields)
            except ValueError:
                continue
    return [_record(key, found) for key, found in counts.items()]


def _add(counts: dict[_Key, list[float]], fields: list[str]) -> None:
    time, status, grpc, refused, user, group, tier, _, service, received, sent, milliseconds = fields[
        :_COUNTED
    ]
    at = float(time)
    key = (int(at) // HOUR, user, group, tier, service, outcome(status, grpc, refused))
    found = counts.get(key)
    if found is None:
        counts[key] = [1, int(received), int(sent), int(milliseconds), at, at]
        return
    found[0] += 1
    found[1] += int(received)
    found[2] += int(sent)
    found[3] += int(milliseconds)
    if at < found[4]:
        found[4] = at
    elif at > found[5]:
        found[5] = at


def _record(key: _Key, found: list[float]) -> AuditRecord:
    hour, user, group, tier, service, what = key
    user, group, tier, service = ("" if one == EMPTY else one for one in (user, group, tier, service))
    requests, received, sent, milliseconds, first, last = found
    return AuditRecord(
        hour=hour * HOUR,
        user=user,
        group=group,
        tier=tier or (SIGNED_IN if user else ANONYMOUS),
        service=service,
        outcome=what,
        requests=int(requests),
        received=int(received),
        sent=int(sent),
        seconds=milliseconds / 1000,
        first_at=first,
        last_at=last,
    )
