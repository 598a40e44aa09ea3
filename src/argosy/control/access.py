"""The tokens of callers and the audit of what they asked, as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from argosy.api.serving import AuditView, TokenCreated, TokenRequest, TokenView
from argosy.clock import Clock
from argosy.errors import Conflict, InvalidRequest, NotFound


class TokenRecord(Protocol):
    """What is kept of a token (argosy.serve.access.TokenRecord)."""

    @property
    def id(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def created_at(self) -> float: ...
    @property
    def expires_at(self) -> float | None: ...
    @property
    def revoked_at(self) -> float | None: ...


class AuditRow(Protocol):
    """What was asked in one hour (argosy.metadata.records.AuditRecord)."""

    @property
    def hour(self) -> float: ...
    @property
    def user(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class Tokens(Protocol):
    """Who makes and keeps tokens (argosy.serve.access.TokenKeeper)."""

    def create(
        self, user: str, group: str, tier: str, expires_seconds: float | None
    ) -> tuple[TokenRecord, str]: ...

    def revoke(self, token: str) -> object: ...

    def list(self) -> Sequence[TokenRecord]: ...


class AuditRows(Protocol):
    """Where the audit is kept (argosy.metadata.store.MetadataStore)."""

    def audit(self, since: float = 0.0) -> Sequence[AuditRow]: ...


class Access:
    """Tokens and audit for the API."""

    def __init__(self, tokens: Tokens, rows: AuditRows, clock: Clock) -> None:
        self._tokens = tokens
        self._rows = rows
        self._clock = clock

    def create(self, request: TokenRequest) -> TokenCreated:
        """Raises InvalidRequest."""
        if not request.user:
            raise InvalidRequest("a token is for somebody, and the user is empty", hint="name the user")
        seconds = request.expires_seconds
        if seconds is not None and not 0 < seconds < float("inf"):
            raise InvalidRequest(f"a token can not expire in {seconds:g} s", hint="write a time, such as 30d")
        record, text = self._tokens.create(request.user, request.group, request.tier, seconds)
        return TokenCreated(self._view(record), text)

    def revoke(self, token: str) -> TokenView:
        """Raises NotFound, and Conflict for one that is revoked already."""
        record = self._find(token)
        if record.revoked_at is not None:
            raise Conflict(
                f"token {token} of {record.user} was revoked already", hint="'argosy token list' lists them"
            )
        self._tokens.revoke(token)
        return self._view(self._find(token))

    def list(self) -> Sequence[TokenView]:
        """Every token, the newest first."""
        records = sorted(self._tokens.list(), key=lambda record: -record.created_at)
        return [self._view(record) for record in records]

    def audit(self, since: float, user: str, service: str) -> Sequence[AuditView]:
        """Of one user or service where one is named, the newest hour first."""
        rows = [
            AuditView(row.hour, row.user, row.group, row.tier, row.service, row.outcome, row.count, row.bytes)
            for row in self._rows.audit(since)
            if user in ("", row.user) and service in ("", row.service)
        ]
        return sorted(rows, key=lambda row: (-row.hour, row.user, row.service, row.outcome))

    def _find(self, token: str) -> TokenRecord:
        for record in self._tokens.list():
            if record.id == token:
                return record
        raise NotFound(f"there is no token {token!r}", hint="'argosy token list' lists them")

    def _view(self, record: TokenRecord) -> TokenView:
        if record.revoked_at is not None:
            state = "revoked"
        elif record.expires_at is not None and record.expires_at <= self._clock.now():
            state = "expired"
        else:
            state = "valid"
        return TokenView(
            token=record.id,
            user=record.user,
            group=record.group,
            tier=record.tier,
            state=state,
            created_at=record.created_at,
            expires_at=record.expires_at,
            revoked_at=record.revoked_at,
        )
