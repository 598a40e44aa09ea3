"""The one writer: a list of records becomes one transaction.

The statements are compiled by SQLAlchemy once; executing them goes straight to the driver, because its own
execution costs several times what SQLite's does (docs/decisions/0002-compiled-statements.md).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from argosy.metadata import schema, sqlite
from argosy.metadata.records import ArtifactRecord, AuditPosition, AuditRecord, MetricRecord, Record
from argosy.metadata.rows import ROW_OF, TABLES, Row, without_surrogates

Batch = tuple[str, list[Row]]


class Writer:
    """Owns the one connection that writes; a lock makes it safe for several threads."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.Lock()

    def write(self, records: Iterable[Record]) -> None:
        """Upsert all records, or none. Raises Unavailable when the disk or the database refuses."""
        batches = _batches(records)
        if not batches:
            return
        try:
            self._commit(batches)
        except UnicodeEncodeError:
            self._commit([(text, [without_surrogates(row) for row in rows]) for text, rows in batches])

    def add_audit(self, counted: Iterable[AuditRecord], position: AuditPosition) -> None:
        """Add what was counted to what is there, and say how far; both or neither."""
        rows: list[Row] = [msgspec.structs.astuple(record) for record in counted]
        moved: list[Row] = [msgspec.structs.astuple(position)]
        batches = [(_adding(), rows), (_upsert(AuditPosition), moved)]
        try:
            self._commit(batches)
        except UnicodeEncodeError:
            self._commit([(text, [without_surrogates(row) for row in some]) for text, some in batches])

    def execute(self, statement: sqlite.Statement, rows: list[Row]) -> int:
        """Run one statement for each row, in one transaction; how many rows it changed."""
        return self._commit([(statement.text, rows)])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _commit(self, batches: list[Batch]) -> int:
        with self._lock:
            connection = self._connection
            try:
                connection.execute(sqlite.BEGIN)
                before = connection.total_changes
                for text, rows in batches:
                    connection.executemany(text, rows)
                connection.execute("COMMIT")
                return connection.total_changes - before
            except sqlite3.Error as error:
                self._roll_back()
                explained = sqlite.explain(error, self._path)
                if explained is None:
                    raise
                raise explained from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors, a full disk among them.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _batches(records: Iterable[Record]) -> list[Batch]:
    """Statements with their rows, by table: order matters only among rows of one table, and is kept there."""
    by_type: dict[type[Record], list[Row]] = {}
    for record in records:
        kind = type(record)
        rows = by_type.get(kind)
        if rows is None:
            rows = by_type[kind] = []
        rows.append(ROW_OF[kind](record))
    batches = [(_upsert(kind), rows) for kind, rows in by_type.items()]
    if MetricRecord in by_type:
        batches.append((_upsert(None), _latest(by_type[MetricRecord])))
    return batches


@cache
def _upsert(kind: type[Record] | None) -> str:
    if kind is None:
        return sqlite.upsert(schema.latest_metrics).text
    # An artifact's row tells who stored it first.
    return sqlite.upsert(TABLES[kind], keep_first=kind is ArtifactRecord).text


@cache
def _adding() -> str:
    sums = ("requests", "received", "sent", "seconds")
    return sqlite.adding(schema.audit, sums, least="first_at", greatest="last_at").text


def _latest(rows: list[Row]) -> list[Row]:
    return list({(attempt, name, rank): row for row in rows for attempt, rank, name, *_ in (row,)}.values())
