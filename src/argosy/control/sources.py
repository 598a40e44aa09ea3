"""Snapshots of users' code: what a run executes is what was submitted, whatever happens to the file since."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from argosy.errors import InvalidRequest
from argosy.flow.sources import snapshot_digest
from argosy.home import Home


def store_source(home: Home, digest: str, files: Mapping[str, str]) -> Path:
    """Write a snapshot once; it is complete when its folder is there.

    Raises InvalidRequest when the files are not those of ``digest``, or a path leaves the folder.
    """
    folder = home.sources / digest
    if folder.is_dir():
        return folder
    if snapshot_digest(dict(files)) != digest:
        raise InvalidRequest(
            "the source files do not match the digest in the graph",
            hint="submit the graph together with the files it was traced from",
        )
    for path in files:
        _check(path)
    try:
        _write(folder, files)
    except OSError as error:
        raise home.unusable(error) from error
    return folder


def _check(path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
        raise InvalidRequest(
            f"source path {path!r} is not below the workflow's folder",
            hint="keep local modules in the folder of the workflow file, or below it",
        )


def _write(folder: Path, files: Mapping[str, str]) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        for path, text in files.items():
            target = temporary / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
