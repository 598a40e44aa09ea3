"""The metadata store: what happened, committed in transactions and read as records."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from argosy.metadata import queries, sqlite
from argosy.metadata.opening import open_database
from argosy.metadata.records import (
    ArtifactRecord,
    AttemptRecord,
    AuditPosition,
    AuditRecord,
    EventRecord,
    MemoRecord,
    MetricRecord,
    NodeRecord,
    Record,
    RunRecord,
    SampleRecord,
    ServiceRecord,
    TokenRecord,
)
from argosy.metadata.rows import metric_of, node_of
from argosy.metadata.writing import Writer

T = TypeVar("T")
Progress = tuple[int | None, int, dict[str, float]]
# Both SQLite and PostgreSQL take over 32,000 values in a statement; one of this many is still short.
_KEYS_AT_ONCE = 1000


class MetadataStore:
    """Runs, nodes, attempts, events, artifacts, memos, measurements, services, tokens and audit of one home.

    One connection writes; reads have their own and see what is committed, without ever waiting for a commit.
    Every method may be called from any thread. Each raises Unavailable when the disk or the database refuses
    for now, and InvalidInput when the database is damaged.
    """

    def __init__(self, writer: Writer, path: Path) -> None:
        self._writer = writer
        self._path = path
        self._engine = sqlite.reading_engine(path)

    @classmethod
    def open(cls, path: Path) -> MetadataStore:
        """Open a database file; an absent or empty one is made, an older one is migrated.

        Raises Conflict for a home written by a newer Argosy.
        """
        return cls(Writer(open_database(path), path), path)

    def close(self) -> None:
        self._engine.dispose()
        self._writer.close()

    def write(self, records: Iterable[Record]) -> None:
        """Commit all records in one transaction, or none. One of equal key replaces the row that is there,
        except an artifact's: its first row stays."""
        self._writer.write(records)

    # Runs

    def runs(self, limit: int = 100) -> list[RunRecord]:
        """The newest runs, newest first."""
        return [RunRecord(*row) for row in self._read(queries.RUNS, limit=limit)]

    def run(self, run: str) -> RunRecord | None:
        return self._one(RunRecord, queries.RUN, run=run)

    def unfinished_runs(self) -> list[RunRecord]:
        """Runs to resume, oldest first."""
        return [RunRecord(*row) for row in self._read(queries.UNFINISHED_RUNS)]

    def nodes(self, run: str) -> list[NodeRecord]:
        """A run's nodes by position."""
        return [node_of(row) for row in self._read(queries.NODES, run=run)]

    def attempts(self, run: str, node: str | None = None) -> list[AttemptRecord]:
        """Attempts of a run, or of one of its nodes, by node and number."""
        if node is None:
            rows = self._read(queries.ATTEMPTS, run=run)
        else:
            rows = self._read(queries.NODE_ATTEMPTS, run=run, node=node)
        return [AttemptRecord(*row) for row in rows]

    def events(self, run: str, after: int = 0) -> list[EventRecord]:
        """A run's events with a sequence above ``after``, in order."""
        return [EventRecord(*row) for row in self._read(queries.EVENTS, run=run, after=after)]

    def run_counts(self, runs: Iterable[str]) -> dict[str, dict[str, int]]:
        """How many nodes of each run are in each state; an empty dict for a run without nodes."""
        counts: dict[str, dict[str, int]] = {run: {} for run in runs}
        for keys in _chunks(counts):
            for run, state, count in self._read(queries.run_counts_of(keys)):
                counts[run][state] = count
        return counts

    # Memos

    def memos(self, keys: Iterable[str]) -> dict[str, MemoRecord]:
        """The memos of those keys that have one."""
        return {
            row[0]: MemoRecord(*row) for some in _chunks(keys) for row in self._read(queries.memos_of(some))
        }

    def latest_memo(self, step: str) -> MemoRecord | None:
        return self._one(MemoRecord, queries.LATEST_MEMO, step=step)

    def forget_memos(self, keys: Iterable[str]) -> None:
        """Remove memos; a key without one is no error."""
        self._writer.execute(sqlite.compiled(queries.forget_memo()), [(key,) for key in keys])

    # Measurements

    def metrics(self, attempt: str, name: str | None = None) -> list[MetricRecord]:
        """All metrics of an attempt, or those of one name, by name, rank and step."""
        if name is None:
            rows = self._read(queries.METRICS, attempt=attempt)
        else:
            rows = self._read(queries.NAMED_METRICS, attempt=attempt, name=name)
        return [metric_of(row) for row in rows]

    def latest_metrics(self, run: str) -> dict[str, Progress]:
        """By attempt: (epoch, step, {name: value}) as last written, of the lowest rank that reports a name.

        Epoch and step are the furthest of these.
        """
        progress: dict[str, Progress] = {}
        for row in self._read(queries.LATEST_METRICS, run=run):
            metric = metric_of(row)
            epoch, step, values = progress.get(metric.attempt, (None, metric.step, {}))
            if metric.name in values:
                continue
            values[metric.name] = metric.value
            if metric.step >= step:
                epoch, step = metric.epoch if metric.epoch is not None else epoch, metric.step
            progress[metric.attempt] = (epoch, step, values)
        return progress

    def samples(self, attempt: str) -> list[SampleRecord]:
        """What an attempt used, by time and rank."""
        return [SampleRecord(*row) for row in self._read(queries.SAMPLES, attempt=attempt)]

    def thin_samples(self, older_than: float, keep_every_seconds: float) -> int:
        """Of samples before ``older_than`` keep one per rank and interval; how many were deleted."""
        statement = sqlite.compiled(queries.thin_samples())
        values = statement.values(older_than=older_than, keep_every=keep_every_seconds)
        return self._writer.execute(statement, [values])

    # Artifacts and services

    def artifact(self, digest: str) -> ArtifactRecord | None:
        """The first record of that content."""
        return self._one(ArtifactRecord, queries.ARTIFACT, digest=digest)

    def artifacts(self, prefix: str, type: str) -> list[ArtifactRecord]:
        """The first hundred artifacts of a type whose digests begin with ``prefix``."""
        # Digests are hexadecimal: "g" comes after every one that begins with the prefix.
        values = {"first": prefix, "after": f"{prefix}g", "type": type}
        return [ArtifactRecord(*row) for row in self._read(queries.ARTIFACTS_FROM, **values)]

    def services(self) -> list[ServiceRecord]:
        """Every service, oldest first."""
        return [ServiceRecord(*row) for row in self._read(queries.SERVICES)]

    def delete_service(self, name: str) -> None:
        """Remove a service's record; one that does not exist is no error."""
        self._writer.execute(sqlite.compiled(queries.delete_service()), [(name,)])

    # Who asks

    def tokens(self) -> list[TokenRecord]:
        """Every token that was given out, oldest first."""
        return [TokenRecord(*row) for row in self._read(queries.TOKENS)]

    def token(self, token: str) -> TokenRecord | None:
        return self._one(TokenRecord, queries.TOKEN, token=token)

    def add_audit(self, counted: Iterable[AuditRecord], position: AuditPosition) -> None:
        """Add counts to those of equal key, and remember how far the log is counted, in one transaction."""
        self._writer.add_audit(counted, position)

    def audit_position(self, log: str) -> AuditPosition | None:
        return self._one(AuditPosition, queries.AUDIT_POSITION, log=log)

    def audit(
        self, since: float = 0.0, user: str | None = None, service: str | None = None
    ) -> list[AuditRecord]:
        """What was counted in the hours that reach beyond ``since``, oldest first."""
        values: dict[str, Any] = {"since": since}
        values |= {} if user is None else {"user": user}
        values |= {} if service is None else {"service": service}
        query = queries.audit_of(user=user, service=service)
        return [AuditRecord(*row) for row in self._read(query, **values)]

    def forget_audit(self, before: float) -> int:
        """Remove what was counted before a time; how many rows that were."""
        return self._writer.execute(sqlite.compiled(queries.forget_audit()), [(before,)])

    def _one(self, record: Callable[..., T], query: queries.Query, **values: Any) -> T | None:
        rows = self._read(query, **values)
        return record(*rows[0]) if rows else None

    def _read(self, query: queries.Query, **values: Any) -> Sequence[Any]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(query, values).fetchall()
        except DBAPIError as error:
            cause = error.orig
            explained = sqlite.explain(cause, self._path) if isinstance(cause, sqlite3.Error) else None
            if explained is None:
                raise
            raise explained from error


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    every = list(dict.fromkeys(keys))
    for start in range(0, len(every), _KEYS_AT_ONCE):
        yield every[start : start + _KEYS_AT_ONCE]
