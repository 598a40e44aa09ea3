"""The tokens of callers and the audit of what they asked, as the API shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from argosy.api.serving import AuditView, TokenCreated, TokenRequest, TokenView
from argosy.clock import Clock
from argosy.errors import Conflict
from argosy.serve.gateway.topology import RevokedToken


class TokenRecord(Protocol):
    """What is kept of a token (argosy.metadata.records.TokenRecord)."""

    @property
    def token(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def created_at(self) -> float: ...
    @property
    def expires_at(self) -> float: ...
    @property
    def revoked_at(self) -> float | None: ...


class AuditRecord(Protocol):
    """What was counted in one hour (argosy.metadata.records.AuditRecord)."""

    @property
    def hour(self) -> int: ...
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
    def requests(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def first_at(self) -> float: ...
    @property
    def last_at(self) -> float: ...


class Tokens(Protocol):
    """Who makes and keeps tokens (argosy.serve.access.keeper.TokenKeeper)."""

    def create(self, user: str, group: str, tier: str, expires_seconds: float) -> tuple[TokenRecord, str]: ...

    def revoke(self, token: str) -> TokenRecord: ...

    def list(self) -> Sequence[TokenRecord]: ...

    def revoked_alive(self, time: float) -> tuple[RevokedToken, ...]: ...


class AuditRecords(Protocol):
    """Where the audit is kept (argosy.metadata.store.MetadataStore)."""

    def audit(
        self, since: float = 0.0, user: str | None = None, service: str | None = None
    ) -> Sequence[AuditRecord]: ...


class Access:
    """Tokens and audit for the API. ``refuse`` tells the gateway which tokens are good no more."""

    def __init__(
        self,
        tokens: Tokens,
        records: AuditRecords,
        refuse: Callable[[tuple[RevokedToken, ...]], None],
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._records = records
        self._refuse = refuse
        self._clock = clock

    def start(self) -> None:
        """Tell of the tokens that were revoked before."""
        self._refuse(self._tokens.revoked_alive(self._clock.now()))

    def create(self, request: TokenRequest) -> TokenCreated:
        """Raises InvalidRequest for what no token can say."""
        record, text = self._tokens.create(request.user, request.group, request.tier, request.expires_seconds)
        return TokenCreated(self._view(record), text)

    def revoke(self, token: str) -> TokenView:
        """Refuse a token from now on. Raises NotFound, and Conflict for one that is revoked already."""
        for record in self._tokens.list():
            if record.token == token and record.revoked_at is not None:
                raise Conflict(
                    f"token {token} of {record.user} was revoked already",
                    hint="'argosy token list' lists them",
                )
        revoked = self._tokens.revoke(token)
        self.start()
        return self._view(revoked)

    def list(self) -> Sequence[TokenView]:
        """Every token, the newest first."""
        records = sorted(self._tokens.list(), key=lambda record: -record.created_at)
        return [self._view(record) for record in records]

    def audit(self, since: float, user: str | None, service: str | None) -> Sequence[AuditView]:
        """Of one user or service where one is named, the newest hour first."""
        rows = [
            AuditView(**{name: getattr(record, name) for name in AuditView.__dataclass_fields__})
            for record in self._records.audit(since, user, service)
        ]
        return sorted(rows, key=lambda row: (-row.hour, row.user, row.service, row.outcome))

    def _view(self, record: TokenRecord) -> TokenView:
        if record.revoked_at is not None:
            state = "revoked"
        else:
            state = "expired" if record.expires_at <= self._clock.now() else "valid"
        return TokenView(
            token=record.token,
            user=record.user,
            group=record.group,
            tier=record.tier,
            state=state,
            created_at=record.created_at,
            expires_at=record.expires_at,
            revoked_at=record.revoked_at,
        )
