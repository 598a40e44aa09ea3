"""Which serializer a type's name means."""

from __future__ import annotations

from typing import Final

from argosy.artifacts.serializers.arrays import NumpySerializer
from argosy.artifacts.serializers.base import Serializer
from argosy.artifacts.serializers.folders import FOLDER_SERIALIZERS
from argosy.artifacts.serializers.plain import BytesSerializer, JsonSerializer, PickleSerializer
from argosy.errors import InvalidRequest

SERIALIZERS: Final[dict[str, Serializer]] = {
    "json": JsonSerializer(),
    "bytes": BytesSerializer(),
    "numpy": NumpySerializer(),
    "pickle": PickleSerializer(),
    **FOLDER_SERIALIZERS,
}


def serializer(type: str) -> Serializer:
    """The serializer of a type such as ``json``. Raises InvalidRequest for a name that is none."""
    try:
        return SERIALIZERS[type]
    except KeyError:
        raise InvalidRequest(
            f"{type!r} is not an artifact type",
            hint=f"use one of {', '.join(sorted(SERIALIZERS))}, or list[...] of one",
            context={"type": type},
        ) from None


def item_type(type: str) -> str | None:
    """``model`` for ``list[model]``; None for a type that is not a list."""
    return type[5:-1] if type.startswith("list[") and type.endswith("]") else None
