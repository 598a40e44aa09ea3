"""Everything that is SQLite's own: connections, settings, the upsert, its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, func
from sqlalchemy.dialects.sqlite import dialect, insert
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.sql import ClauseElement

from argosy.errors import ArgosyError, InvalidInput, InvalidRequest, Unavailable

BUSY_TIMEOUT_SECONDS: Final = 5.0
BEGIN: Final = "BEGIN IMMEDIATE"

# A write-ahead log of up to 16 MiB before its pages are moved to the database, which costs a flush.
_SETTINGS: Final = ("PRAGMA synchronous=NORMAL", "PRAGMA wal_autocheckpoint=4000", "PRAGMA foreign_keys=ON")


DIALECT: Final = dialect(paramstyle="qmark")


@dataclass(frozen=True, slots=True)
class Statement:
    """What SQLAlchemy compiled once: the text, and the names of its values in their order."""

    text: str
    names: tuple[str, ...]

    def values(self, **values: object) -> tuple[object, ...]:
        return tuple(values[name] for name in self.names)


def connect(path: Path) -> sqlite3.Connection:
    """A connection without implicit transactions, for any thread, one at a time."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    for setting in _SETTINGS:
        connection.execute(setting)
    return connection


def reading_engine(path: Path) -> Engine:
    """A pool of connections that can only read, each statement by itself: they never hold up a commit."""
    engine = create_engine(
        URL.create("sqlite", database=os.fspath(path)),
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=60,
    )
    event.listen(engine, "connect", _read_only)
    return engine


def _read_only(connection: Any, _: object) -> None:
    connection.execute("PRAGMA query_only=ON")


def upsert(table: Table, *, keep_first: bool = False) -> Statement:
    """Insert a row or replace the one of equal key; with ``keep_first`` leave the one that is there."""
    statement = insert(table)
    key = list(table.primary_key.columns)
    rest = {column.name: statement.excluded[column.name] for column in table.columns if column not in key}
    if keep_first:
        return compiled(statement.on_conflict_do_nothing(index_elements=key))
    return compiled(statement.on_conflict_do_update(index_elements=key, set_=rest))


def adding(table: Table, sums: tuple[str, ...], least: str, greatest: str) -> Statement:
    """Insert a row, or add it to the one of equal key: ``sums`` are added up, the others widened."""
    statement = insert(table)
    new = statement.excluded
    changed: dict[str, Any] = {name: table.c[name] + new[name] for name in sums}
    changed[least] = func.min(table.c[least], new[least])
    changed[greatest] = func.max(table.c[greatest], new[greatest])
    key = list(table.primary_key.columns)
    return compiled(statement.on_conflict_do_update(index_elements=key, set_=changed))


def compiled(statement: ClauseElement) -> Statement:
    """A statement as the text that the driver takes."""
    text: Any = statement.compile(dialect=DIALECT)
    return Statement(str(text), tuple(text.positiontup or ()))


def use_write_ahead_log(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")


def probe_writing(connection: sqlite3.Connection) -> None:
    """Commit a change that changes nothing: a read-only or full disk shows now, not during a run."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(BEGIN)
    try:
        connection.execute(f"PRAGMA user_version={version}")
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def table_names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def back_up(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the database, as it is now, to a file of its own."""
    temporary = target.with_name(target.name + ".part")
    try:
        copy = sqlite3.connect(temporary)
        try:
            connection.backup(copy)
        finally:
            copy.close()
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def schema_change(connection: sqlite3.Connection) -> Iterator[Connection]:
    """One transaction, as SQLAlchemy's, in which tables may be rebuilt.

    References between tables are checked at its end only: rebuilding a table drops it for a moment.
    """
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    event.listen(engine, "begin", lambda begun: begun.exec_driver_sql(BEGIN))
    connection.execute("PRAGMA foreign_keys=OFF")
    try:
        with engine.begin() as bound:
            yield bound
            if orphans := connection.execute("PRAGMA foreign_key_check").fetchmany(3):
                raise sqlite3.IntegrityError(f"rows without their parent after migrating: {orphans}")
    finally:
        connection.execute("PRAGMA foreign_keys=ON")


def explain(error: sqlite3.Error, path: Path) -> ArgosyError | None:
    """What a database error means to the person who runs Argosy; None for a mistake in Argosy itself."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else -1
    context = {"database": str(path), "error": str(error), "code": getattr(error, "sqlite_errorname", "")}
    if primary in _UNAVAILABLE:
        fault, hint = _UNAVAILABLE[primary]
        return Unavailable(f"the database {path} {fault}: {error}", hint=hint, context=context)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        fault = "is damaged" if primary == sqlite3.SQLITE_CORRUPT else "is not a SQLite database"
        return InvalidInput(f"{path} {fault}: {error}", hint=_MEND, context=context)
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return InvalidRequest(
            f"the records do not fit together: {error}",
            hint="write a run before, or together with, what belongs to it",
            context=context,
        )
    return None


_SPACE: Final = "free some space, or set ARGOSY_HOME to a folder on a larger disk; then try again"
_PERMISSION: Final = "give this user write permission, or set ARGOSY_HOME to a folder that can be written"
_OTHERS: Final = "see which process holds it (fuser FILE), end that, and try again"
_MEND: Final = "restore it from a backup, or move it away to start with an empty one"
_DISK: Final = "check the disk: its free space, its health and the folder's permissions; then try again"
_UNAVAILABLE: Final = {
    sqlite3.SQLITE_FULL: ("can not grow", _SPACE),
    sqlite3.SQLITE_BUSY: ("is in use by another process", _OTHERS),
    sqlite3.SQLITE_LOCKED: ("is in use by another process", _OTHERS),
    sqlite3.SQLITE_READONLY: ("is read-only", _PERMISSION),
    sqlite3.SQLITE_PERM: ("can not be written", _PERMISSION),
    sqlite3.SQLITE_CANTOPEN: ("can not be opened", _PERMISSION),
    sqlite3.SQLITE_IOERR: ("can not be read or written", _DISK),
}
