"""``argosy token`` and ``argosy audit``."""

from __future__ import annotations

import time
from collections.abc import Iterable

from argosy.api.serving import AuditView, TokenRequest
from argosy.cli.output import document, say, show, table
from argosy.client.bootstrap import ensure_control_plane
from argosy.client.client import ControlClient
from argosy.clock import timestamp_text
from argosy.errors import InvalidRequest
from argosy.flow.service_options import ANONYMOUS
from argosy.home import Home
from argosy.units import format_memory, parse_duration

_REFUSED = "refused"
_WHO = ("HOUR", "USER", "GROUP", "TIER", "SERVICE")
_COLUMNS = (*_WHO, "ANSWERED", "NOT", "REFUSED", "IN", "OUT", "LAST")


def create(user: str, group: str, tier: str, expires: str, as_json: bool) -> None:
    seconds = _seconds("--expires", expires)
    client = ensure_control_plane(Home.from_environment(), started=lambda: say("starting the control plane"))
    created = client.create_token(TokenRequest(user, group, tier, seconds))
    if as_json:
        document(created)
        return
    record = created.record
    until = timestamp_text(record.expires_at)
    say(f"token {record.token} of {record.user} is valid until {until}; it is not shown again")
    say("hint: callers send it in the header 'Authorization: Bearer TOKEN'")
    show(created.text)


def revoke(token: str, as_json: bool) -> None:
    revoked = _client().revoke_token(token)
    if as_json:
        document(revoked)
    else:
        show(f"token {revoked.token} of {revoked.user} is revoked")


def listed(as_json: bool) -> None:
    found = _client().tokens()
    if as_json:
        document(found)
    elif not found:
        say("there are no tokens: 'argosy token create --user USER' makes one")
    else:
        columns = ("TOKEN", "USER", "GROUP", "TIER", "STATE", "CREATED", "EXPIRES")
        rows = [
            (
                one.token,
                one.user,
                one.group,
                one.tier,
                one.state,
                timestamp_text(one.created_at),
                timestamp_text(one.expires_at),
            )
            for one in found
        ]
        table(columns, rows)


def audit(user: str | None, service: str | None, since: str, as_json: bool) -> None:
    """Hour by hour: who asked how much of what, and how often they were refused, and by what."""
    first = 0.0 if since == "ever" else time.time() - _seconds("--since", since)
    found = _client().audit(first, "" if user == ANONYMOUS else user, service)
    if as_json:
        document(found)
    elif not found:
        say("nobody asked anything in that time")
    else:
        table(_COLUMNS, [_row(rows) for rows in _by_caller(found)])


def _by_caller(found: Iterable[AuditView]) -> list[list[AuditView]]:
    """Rows that differ in nothing but their outcome, together, in the order they came in."""
    grouped: dict[tuple[object, ...], list[AuditView]] = {}
    for row in found:
        grouped.setdefault((row.hour, row.user, row.group, row.tier, row.service), []).append(row)
    return list(grouped.values())


def _row(rows: list[AuditView]) -> tuple[str, ...]:
    first = rows[0]
    answered = sum(row.requests for row in rows if row.outcome == "answered")
    refused = [row for row in rows if row.outcome.startswith(_REFUSED)]
    other = [row for row in rows if row.outcome != "answered" and row not in refused]
    return (
        timestamp_text(first.hour)[:13] + "h",
        first.user or ANONYMOUS,
        first.group,
        first.tier,
        first.service,
        f"{answered:,}",
        _counted([(row.requests, row.outcome) for row in other]),
        _counted([(row.requests, row.outcome.removeprefix(_REFUSED).strip(" :")) for row in refused]),
        format_memory(sum(row.received for row in rows)),
        format_memory(sum(row.sent for row in rows)),
        timestamp_text(max(row.last_at for row in rows))[11:],
    )


def _counted(counts: list[tuple[int, str]]) -> str:
    """``9 (7 concurrency, 2 requests)``."""
    if not counts:
        return "0"
    parts = ", ".join(f"{count:,} {what}" for count, what in counts)
    return f"{sum(count for count, _ in counts):,} ({parts})"


def _client() -> ControlClient:
    return ControlClient(Home.from_environment())


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except InvalidRequest as error:
        raise InvalidRequest(f"{option}: {error.message}", hint=error.hint) from None
