"""What every serializer does."""

from __future__ import annotations

from typing import NoReturn, Protocol

from argosy.artifacts.objects import Objects
from argosy.artifacts.reference import ArtifactReference
from argosy.errors import InvalidRequest


class Serializer(Protocol):
    """Puts values of one type into a store and gets them back, checked."""

    def put(self, value: object, objects: Objects) -> ArtifactReference:
        """Raises InvalidRequest for a value of another type, Unavailable when the disk refuses."""
        ...

    def get(self, reference: ArtifactReference, objects: Objects) -> object:
        """Raises CorruptArtifact for missing or altered content."""
        ...


def refuse(value: object, expected: str, hint: str) -> NoReturn:
    kind = type(value).__name__
    raise InvalidRequest(
        f"the result is a `{kind}`, expected {expected}",
        hint=hint,
        context={"found": kind, "expected": expected},
    )
