"""Request bodies that are JSON objects; every fault is named with its place."""

from __future__ import annotations

from typing import Any

import orjson

from argosy.errors import InvalidInput
from argosy.serve.model_server.tensors import json_type


def parse(body: bytes, example: str) -> dict[str, Any]:
    """The object a body holds. Raises InvalidInput with ``example`` as the hint."""
    if not body:
        raise InvalidInput("the request has no body, expected JSON", hint=example)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(_fault(error), hint=example) from None
    if not isinstance(document, dict):
        raise InvalidInput(f"the request is {json_type(document)}, expected an object", hint=example)
    return document


def keys_of(document: dict[str, Any]) -> str:
    return ", ".join(repr(key) for key in list(document)[:5]) or "no keys"


def flag(document: dict[str, Any], name: str, place: str) -> bool:
    """A boolean that may be absent. Raises InvalidInput."""
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInput(
            f"{place}.{name} is {json_type(value)}, expected true or false", hint="it may be left out"
        )
    return value


def parameters(document: dict[str, Any], place: str = "parameters") -> dict[str, Any]:
    """The ``parameters`` of a request or of a part of it. Raises InvalidInput."""
    value = document.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{place} is {json_type(value)}, expected an object", hint="it may be left out")
    return value


def _fault(error: orjson.JSONDecodeError) -> str:
    place = f"line {error.lineno}, column {error.colno}"
    for token in ("NaN", "Infinity"):
        if error.doc.startswith(token, error.pos):
            return f"malformed JSON at {place}: {token} is not a JSON number"
    return f"malformed JSON at {place}: {error.msg}"
