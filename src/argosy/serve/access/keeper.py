"""Tokens as they are given out, listed and revoked."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from argosy.clock import Clock
from argosy.errors import NotFound
from argosy.metadata.records import Record, TokenRecord
from argosy.serve.access.keys import signing_key
from argosy.serve.access.tokens import is_refused, new_token, token_text
from argosy.serve.gateway.topology import RevokedToken


class TokenRecords(Protocol):
    """What of the metadata store is used here."""

    def tokens(self) -> list[TokenRecord]: ...

    def token(self, token: str) -> TokenRecord | None: ...

    def write(self, records: Iterable[Record]) -> None: ...


def _new_id() -> str:
    return secrets.token_hex(8)


class TokenKeeper:
    """The tokens of one home. The text of a token is given out once, and is neither stored nor logged."""

    def __init__(
        self, records: TokenRecords, jwks: Path, clock: Clock, new_id: Callable[[], str] = _new_id
    ) -> None:
        self._records = records
        self._jwks = jwks
        self._clock = clock
        self._new_id = new_id

    def create(
        self, user: str, group: str = "", tier: str = "", expires_seconds: float = 30 * 86400.0
    ) -> tuple[TokenRecord, str]:
        """A new token and its text. Raises InvalidRequest, InvalidInput for a damaged key, Unavailable."""
        record = new_token(self._new_id(), user, group, tier, self._clock.now(), expires_seconds)
        text = token_text(record, signing_key(self._jwks))
        self._records.write([record])
        return record, text

    def revoke(self, token: str, time: float | None = None) -> TokenRecord:
        """From now on the gateway refuses it, once it is told. Idempotent. Raises NotFound."""
        record = self._records.token(token)
        if record is None:
            raise NotFound(
                f"token {token!r} does not exist", hint="`argosy token list` shows those there are"
            )
        if record.revoked_at is None:
            record = replace(record, revoked_at=self._clock.now() if time is None else time)
            self._records.write([record])
        return record

    def list(self) -> list[TokenRecord]:
        """Every token that was given out, oldest first."""
        return self._records.tokens()

    def revoked_alive(self, time: float) -> tuple[RevokedToken, ...]:
        """For the topology: what must be refused though its signature and its time are good."""
        refused = (record for record in self._records.tokens() if is_refused(record, time))
        return tuple(RevokedToken(record.token, record.user) for record in refused)
