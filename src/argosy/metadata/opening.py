"""A database file becomes one of this version: made, migrated, or refused with the reason."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import create_mock_engine, insert, select

from argosy.errors import Conflict, InvalidInput, Unavailable
from argosy.metadata import schema, sqlite


def open_database(path: Path) -> sqlite3.Connection:
    """The connection that writes, to a database of the present schema.

    Raises Conflict for one written by a newer Argosy, InvalidInput for a file that is no database of Argosy,
    Unavailable when the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_stub(path)
        connection = sqlite.connect(path)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise sqlite.explain(error, path) or error from error
    except OSError as error:
        raise Unavailable(
            f"the folder of the database {path} can not be made: {error.strerror}",
            hint="set ARGOSY_HOME to a folder that this user can write",
            context={"database": str(path)},
        ) from error
    return connection


def _refuse_stub(path: Path) -> None:
    # SQLite takes a file shorter than its smallest page for an empty database, and would write over it.
    if path.is_file() and 0 < path.stat().st_size < 512:
        raise InvalidInput(
            f"{path} is not a SQLite database: it has {path.stat().st_size} bytes",
            hint="restore it from a backup, or move it away to start with an empty one",
            context={"database": str(path)},
        )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    revision = _revision(connection, path)
    sqlite.use_write_ahead_log(connection)
    if revision is None:
        _create(connection)
        revision = _revision(connection, path)
    if revision != schema.REVISION:
        # Imported here: Alembic takes longer to load than all the rest of opening a database.
        from argosy.metadata.migrations.migrating import migrate

        migrate(connection, path, str(revision))
    sqlite.probe_writing(connection)


def _revision(connection: sqlite3.Connection, path: Path) -> str | None:
    """The revision of the schema in the file; None for an empty file."""
    tables = sqlite.table_names(connection)
    if not tables:
        return None
    if schema.alembic_version.name not in tables:
        raise InvalidInput(
            f"{path} is a SQLite database, but not one of Argosy's",
            hint="set ARGOSY_HOME to a folder of its own, or move the file away",
            context={"database": str(path), "tables": sorted(tables)},
        )
    query = sqlite.compiled(select(schema.alembic_version.c.version_num))
    row = connection.execute(query.text).fetchone()
    if row is None:
        raise InvalidInput(
            f"{path} does not say which version of Argosy wrote it",
            hint="restore it from a backup, or move it away to start with an empty one",
            context={"database": str(path)},
        )
    return str(row[0])


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(sqlite.BEGIN)
    try:
        if not sqlite.table_names(connection):
            for text in schema_statements():
                connection.execute(text)
            stamp = sqlite.compiled(insert(schema.alembic_version))
            connection.execute(stamp.text, (schema.REVISION,))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def schema_statements() -> list[str]:
    """What makes the whole schema in an empty database."""
    texts: list[str] = []

    def collect(statement: Any, *_: Any, **__: Any) -> None:
        texts.append(str(statement.compile(dialect=sqlite.DIALECT)))

    recorder: Any = create_mock_engine("sqlite://", collect)
    schema.metadata.create_all(recorder, checkfirst=False)
    schema.alembic_version.metadata.create_all(recorder, checkfirst=False)
    return texts


def newer_home(path: Path, found: str) -> Conflict:
    """The database has a revision that this Argosy does not know."""
    return Conflict(
        f"{path}: home written by a newer Argosy: its database has revision {found}, "
        f"this Argosy knows {schema.REVISION}",
        hint="install that newer Argosy again, or set ARGOSY_HOME to another folder",
        context={"database": str(path), "found": found, "known": schema.REVISION},
    )
