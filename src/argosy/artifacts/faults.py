"""What can go wrong under the store, said so that a person can act on it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from argosy.artifacts.reference import ArtifactReference
from argosy.errors import CorruptArtifact, InvalidRequest, Unavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def unavailable(root: str, error: OSError) -> Unavailable:
    """The storage under ``root`` did not take a write or did not answer a read."""
    context = {"root": root, "errno": error.errno, "path": str(error.filename or root)}
    if error.errno in _FULL:
        return Unavailable(
            f"the disk that holds {root} is full: nothing was stored",
            hint="free some space, or set ARGOSY_HOME to a folder on a larger disk; then try again",
            context=context,
        )
    if error.errno in _REFUSED:
        return Unavailable(
            f"{root} can not be written: {error.strerror}",
            hint="give this user write permission, or set ARGOSY_HOME to a folder that can be written",
            context=context,
        )
    return Unavailable(
        f"the artifact store at {root} failed: {error.strerror or error}",
        hint="check the disk and the folder, then try again",
        context=context,
    )


@contextmanager
def storage_faults(root: str) -> Iterator[None]:
    """Raise Unavailable in place of an OSError of the store's own disk."""
    try:
        yield
    except OSError as error:
        raise unavailable(root, error) from error


def unreadable(path: str | Path, error: OSError) -> InvalidRequest:
    """A file that a step handed over can not be read."""
    return InvalidRequest(
        f"{path} can not be stored: {error.strerror or error}",
        hint="return a folder whose files exist and can be read until the step ends",
        context={"path": str(path), "errno": error.errno},
    )


def missing(reference: ArtifactReference, root: str, file: str = "") -> CorruptArtifact:
    """The content that a reference names is not in the store, wholly or in part."""
    what = f"file {file!r} of {describe(reference)}" if file else describe(reference)
    return CorruptArtifact(
        f"{what} is missing from {root}",
        hint=_RUN_AGAIN,
        context=_context(reference, file),
    )


def mismatch(
    reference: ArtifactReference, file: str, aspect: str, expected: object, found: object
) -> CorruptArtifact:
    """Stored bytes are not those that were stored."""
    return CorruptArtifact(
        f"{describe(reference)} is corrupt: {aspect} of {file!r} is {found}, expected {expected}",
        hint=_RUN_AGAIN,
        context=_context(reference, file) | {"aspect": aspect, "expected": expected, "found": found},
    )


def describe(reference: ArtifactReference) -> str:
    return f"{reference.type} artifact {reference.digest[:12]}"


_RUN_AGAIN = "run the workflow again: the step that made it is repeated, because its result is gone"


def _context(reference: ArtifactReference, file: str) -> dict[str, Any]:
    return {"digest": reference.digest, "type": reference.type, "size": reference.size, "file": file}
