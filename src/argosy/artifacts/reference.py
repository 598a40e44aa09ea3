"""How one names an artifact without holding its bytes."""

from __future__ import annotations

import msgspec


class ArtifactReference(msgspec.Struct, frozen=True, omit_defaults=True):
    """``digest`` is the sha256 in hex of the content, ``type`` its serializer (``json``, ``numpy``, ``tree``,
    ``bytes``, ``dataset``, ``model``, ``pickle``), ``size`` its bytes."""

    digest: str
    type: str
    size: int


class Stored(msgspec.Struct, frozen=True, tag="stored"):
    """An output that is one artifact."""

    reference: ArtifactReference


class Inline(msgspec.Struct, frozen=True, tag="inline"):
    """A JSON value small enough to travel by itself (an item of a mapped list, a traced literal)."""

    json: msgspec.Raw


class Many(msgspec.Struct, frozen=True, tag="many"):
    """A list of values: the output of a mapped node, or of a step that returns a list of artifacts."""

    items: tuple[Value, ...]


Value = Stored | Inline | Many


def references(value: Value) -> tuple[ArtifactReference, ...]:
    """Every artifact a value is made of, in order."""
    match value:
        case Stored(reference):
            return (reference,)
        case Inline():
            return ()
        case Many(items):
            return tuple(reference for item in items for reference in references(item))


def fingerprint(value: Value) -> str:
    """A text equal for values of equal content, short for one artifact."""
    match value:
        case Stored(reference):
            return f"{reference.type}:{reference.digest}"
        case Inline(json):
            return f"json={bytes(json).decode()}"
        case Many(items):
            return "[" + ",".join(fingerprint(item) for item in items) + "]"
