"""Tokens of callers: what may be in one, and its text. Nothing here touches clock or disk."""

from __future__ import annotations

import re

from argosy.errors import InvalidRequest
from argosy.flow.service_options import ANONYMOUS, SIGNED_IN
from argosy.metadata.records import TokenRecord

ISSUER = "argosy"
LONGEST_SECONDS = 10 * 366 * 86400.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


def new_token(
    token: str, user: str, group: str, tier: str, created_at: float, expires_seconds: float
) -> TokenRecord:
    """What a token with the id ``token`` says. Raises InvalidRequest for names and times that can not be."""
    _require_name("user", user)
    if group:
        _require_name("group", group)
    if tier:
        _require_name("tier", tier)
    if tier == ANONYMOUS:
        raise InvalidRequest(
            f"tier {tier!r} is that of callers without a token",
            hint=f"name a tier of the service's policy, or none: the caller is then {SIGNED_IN!r}",
        )
    if not 1 <= expires_seconds <= LONGEST_SECONDS:
        raise InvalidRequest(
            f"a token can not be good for {expires_seconds:g} s",
            hint=f"give it 1 s to {LONGEST_SECONDS:.0f} s (ten years)",
        )
    # Envoy takes whole seconds; a token is never good for less than was asked.
    expires_at = float(int(created_at + expires_seconds + 0.999))
    return TokenRecord(token, user, group, "" if tier == SIGNED_IN else tier, created_at, expires_at)


def token_text(record: TokenRecord, key: bytes) -> str:
    """The JSON Web Token (RFC 7519, HS256) that a caller sends. Whoever has it is the user."""
    import jwt

    claims: dict[str, str | int] = {
        "iss": ISSUER,
        "sub": record.user,
        "jti": record.token,
        "iat": int(record.created_at),
        "exp": int(record.expires_at),
    }
    claims |= {"group": record.group} if record.group else {}
    claims |= {"tier": record.tier} if record.tier else {}
    return jwt.encode(claims, key, algorithm="HS256", headers={"kid": "1"})


def is_refused(record: TokenRecord, time: float) -> bool:
    """Whether the gateway must be told: revoked, and not yet expired by itself."""
    return record.revoked_at is not None and record.expires_at + 60 > time


def _require_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} can not be the name of a {what}",
            hint="use 1 to 64 letters, digits and . _ @ + - , the first a letter or digit",
        )
