"""An older database brought to the present schema by Alembic."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError

from argosy.errors import ArgosyError, Unavailable
from argosy.metadata import sqlite
from argosy.metadata.opening import newer_home

FOLDER = Path(__file__).parent


def configuration(folder: Path = FOLDER) -> Config:
    """Alembic's configuration of the packaged migrations."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(connection: sqlite3.Connection, path: Path, found: str, folder: Path = FOLDER) -> None:
    """Bring a database from revision ``found`` to the newest, all or nothing; a copy of it is kept beside it.

    Raises Conflict when ``found`` is no revision that this Argosy knows.
    """
    config = configuration(folder)
    if not _knows(config, found):
        raise newer_home(path, found)
    copy = path.with_name(f"{path.name}.before-{found}")
    sqlite.back_up(connection, copy)
    try:
        with sqlite.schema_change(connection) as bound:
            config.attributes["connection"] = bound
            command.upgrade(config, "head")
    except Exception as error:
        raise _failed(error, path, found, copy) from error


def _failed(error: Exception, path: Path, found: str, copy: Path) -> ArgosyError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    explained = sqlite.explain(cause, path) if isinstance(cause, sqlite3.Error) else None
    if isinstance(explained, Unavailable):
        return explained
    return ArgosyError(
        f"{path} could not be migrated from revision {found}, and is as it was: {cause}",
        hint=f"report this as a bug; the Argosy that wrote it still reads it, and a copy of it is {copy}",
        context={"database": str(path), "found": found, "error": str(cause)},
    )


def _knows(config: Config, revision: str) -> bool:
    try:
        return ScriptDirectory.from_config(config).get_revision(revision) is not None
    except CommandError:
        return False
