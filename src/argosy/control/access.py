"""The tokens of callers and the audit of what they asked, as the API shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argosy.api.serving import AuditView, TokenCreated, TokenRequest, TokenView
from argosy.clock import Clock
from argosy.errors import Conflict
from argosy.metadata.records import TokenRecord
from argosy.metadata.store import MetadataStore
from argosy.serve.access.keeper import TokenKeeper
from argosy.serve.gateway.topology import RevokedToken


class Access:
    """Tokens and audit for the API. ``refuse`` tells the gateway which tokens are good no more."""

    def __init__(
        self,
        tokens: TokenKeeper,
        records: MetadataStore,
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
