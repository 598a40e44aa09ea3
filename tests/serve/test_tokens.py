"""Tokens: what may be in one, how it is given out once, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from argosy.clock import ManualClock
from argosy.errors import InvalidInput, InvalidRequest, NotFound
from argosy.metadata.store import MetadataStore
from argosy.serve.access.keeper import TokenKeeper
from argosy.serve.access.keys import fingerprint, signing_key
from argosy.serve.gateway.topology import RevokedToken


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_900_000_000.25)


@pytest.fixture
def keeper(tmp_path: Path, clock: ManualClock) -> Any:
    store = MetadataStore.open(tmp_path / "argosy.db")
    numbers = iter(range(100))
    yield TokenKeeper(store, tmp_path / "gateway" / "jwks.json", clock, lambda: f"id{next(numbers)}")
    store.close()


def test_a_token_says_who_its_user_is_and_how_long(keeper: TokenKeeper, tmp_path: Path) -> None:
    record, text = keeper.create("ada", "staff", "gold", 60)
    key = signing_key(tmp_path / "gateway" / "jwks.json")
    claims = jwt.decode(text, key, algorithms=["HS256"], options={"verify_iat": False})
    assert claims == {
        "iss": "argosy",
        "sub": "ada",
        "group": "staff",
        "tier": "gold",
        "jti": "id0",
        "iat": 1_900_000_000,
        "exp": 1_900_000_061,
    }
    assert keeper.list() == [record]
    assert record.expires_at == claims["exp"]
    _, plain = keeper.create("bob", tier="signed-in")
    assert set(jwt.decode(plain, options={"verify_signature": False})) == {"iss", "sub", "jti", "iat", "exp"}


def test_the_text_of_a_token_is_nowhere_on_the_disk(keeper: TokenKeeper, tmp_path: Path) -> None:
    _, text = keeper.create("ada")
    signature = text.rpartition(".")[2].encode()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or signature not in file.read_bytes()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"user": ""}, "user"),
        ({"user": "a b"}, "user"),
        ({"user": "a\r\nx-argosy-tier: gold"}, "user"),
        ({"user": "a" * 65}, "user"),
        ({"user": "ada", "group": "ü"}, "group"),
        ({"user": "ada", "tier": '"'}, "tier"),
        ({"user": "ada", "tier": "anonymous"}, "callers without a token"),
        ({"user": "ada", "expires_seconds": 0.0}, "0 s"),
        ({"user": "ada", "expires_seconds": 1e12}, "can not be good"),
        ({"user": "ada", "expires_seconds": float("nan")}, "nan"),
    ],
)
def test_what_can_not_be_in_a_token_is_refused(
    keeper: TokenKeeper, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        keeper.create(**values)
    assert caught.value.hint
    assert keeper.list() == []


def test_a_revoked_token_is_told_to_the_gateway_until_it_has_expired(
    keeper: TokenKeeper, clock: ManualClock
) -> None:
    keeper.create("ada", expires_seconds=1000)
    keeper.create("bob", expires_seconds=1000)
    assert keeper.revoked_alive(clock.now()) == ()
    revoked = keeper.revoke("id0")
    assert (revoked.token, revoked.revoked_at) == ("id0", clock.now())
    clock.advance(10)
    assert keeper.revoke("id0") == revoked
    assert keeper.revoked_alive(clock.now()) == (RevokedToken("id0", "ada"),)
    assert keeper.revoked_alive(clock.now() + 2000) == ()
    with pytest.raises(NotFound, match="'id9'"):
        keeper.revoke("id9")


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "gateway" / "jwks.json"
    key = signing_key(file)
    assert (signing_key(file), len(key)) == (key, 32)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    other = signing_key(tmp_path / "other.json")
    assert fingerprint(other) != fingerprint(key)
    file.write_text('{"keys": [{"k": "c2hvcnQ"}]}')
    with pytest.raises(InvalidInput, match="holds no key") as caught:
        signing_key(file)
    assert "remove it" in caught.value.hint
