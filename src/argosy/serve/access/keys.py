"""The key that signs tokens, in the form in which Envoy reads it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path

from argosy.errors import InvalidInput, Unavailable

_KEY_BYTES = 32


def signing_key(file: Path) -> bytes:
    """The key in ``file``, a JSON Web Key Set that only its owner may read; made if there is none.

    Raises InvalidInput for a file that holds no such key, Unavailable when the disk refuses.
    """
    try:
        if not file.exists():
            _make(file)
        content = file.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"the key of tokens {file} can not be made or read: {error.strerror}",
            hint="free some space, or make the home writable",
        ) from None
    return _read(file, content)


def fingerprint(key: bytes) -> str:
    """Tells one key from another, and gives neither away."""
    return hashlib.sha256(b"argosy" + key).hexdigest()[:16]


def _make(file: Path) -> None:
    key = base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).rstrip(b"=").decode()
    document = {"keys": [{"kty": "oct", "alg": "HS256", "use": "sig", "kid": "1", "k": key}]}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            json.dump(document, opened)
        # A link fails where another process was first: there is one key, whoever makes it.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _read(file: Path, content: bytes) -> bytes:
    try:
        encoded = json.loads(content)["keys"][0]["k"]
        key = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        if len(key) >= _KEY_BYTES:
            return key
    except (ValueError, KeyError, IndexError, TypeError):
        pass
    raise InvalidInput(
        f"{file} holds no key for tokens",
        hint="remove it: a new one is made, and every token that was given out ends",
    )
