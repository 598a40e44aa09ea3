"""The tables, for every database that SQLAlchemy speaks. Columns stand in the order of the records' fields.

A change here needs a migration in ``migrations/versions`` and its revision as ``REVISION``; a test holds the
two equal.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
)

REVISION: Final = "0002"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Rows that are small and read by key prefix lie in their primary key's order (SQLite's WITHOUT ROWID).
_CLUSTERED: Final[dict[str, Any]] = {"sqlite_with_rowid": False}


def _text(name: str) -> Column[str]:
    return Column(name, String, nullable=False)


def _integer(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    """Seconds since the Unix epoch."""
    return Column(name, Double, nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> Column[bytes]:
    """JSON as UTF-8 bytes, read by whoever wrote it and never searched."""
    return Column(name, LargeBinary, nullable=nullable)


def _part_of(parent: str, *columns: str) -> ForeignKeyConstraint:
    # Checked at commit, so the order of records within a transaction is free.
    return ForeignKeyConstraint(
        columns,
        [f"{parent}.{column}" for column in columns],
        ondelete="CASCADE",
        deferrable=True,
        initially="DEFERRED",
    )


runs = Table(
    "runs",
    metadata,
    _text("run"),
    _text("workflow"),
    _text("state"),
    _time("created_at"),
    _json("graph"),
    _time("ended_at", nullable=True),
    _text("user"),
    _text("reason"),
    _json("output", nullable=True),
    PrimaryKeyConstraint("run"),
    Index(None, "created_at"),
    Index(None, "state"),
)

nodes = Table(
    "nodes",
    metadata,
    _text("run"),
    _text("node"),
    _integer("position"),
    _text("step"),
    _text("kind"),
    _text("state"),
    _text("label"),
    _text("reason"),
    _text("memo"),
    _time("created_at", nullable=True),
    _time("started_at", nullable=True),
    _time("ended_at", nullable=True),
    _json("output", nullable=True),
    _json("upstream"),
    PrimaryKeyConstraint("run", "node"),
    _part_of("runs", "run"),
    **_CLUSTERED,
)

attempts = Table(
    "attempts",
    metadata,
    _text("attempt"),
    _text("run"),
    _text("node"),
    _integer("number"),
    _integer("token"),
    _text("state"),
    _integer("workers"),
    _time("created_at", nullable=True),
    _time("started_at", nullable=True),
    _time("ended_at", nullable=True),
    _text("cause"),
    _text("message"),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("line", Integer),
    _text("traceback"),
    _integer("peak_memory"),
    _json("inputs", nullable=True),
    _json("environment", nullable=True),
    _json("processes", nullable=True),
    PrimaryKeyConstraint("attempt"),
    _part_of("runs", "run"),
    Index(None, "run", "node", "number"),
)

events = Table(
    "events",
    metadata,
    _text("run"),
    _integer("sequence"),
    _time("time"),
    _text("kind"),
    _json("body"),
    PrimaryKeyConstraint("run", "sequence"),
    _part_of("runs", "run"),
    **_CLUSTERED,
)

artifacts = Table(
    "artifacts",
    metadata,
    _text("digest"),
    _text("type"),
    _integer("size"),
    _time("created_at"),
    _text("produced_by"),
    PrimaryKeyConstraint("digest", "type"),
    **_CLUSTERED,
)

memos = Table(
    "memos",
    metadata,
    _text("key"),
    _text("step"),
    _time("created_at"),
    _json("output"),
    _json("parts"),
    _text("run"),
    _text("node"),
    PrimaryKeyConstraint("key"),
    Index(None, "step", "created_at"),
)


def _metric_columns() -> tuple[Column[Any], ...]:
    return (
        _text("attempt"),
        _integer("rank"),
        _text("name"),
        _integer("step"),
        # Null is not-a-number, for which SQLite has no other value.
        Column("value", Double),
        _time("time"),
        Column("epoch", BigInteger),
    )


# Metrics and samples name attempts of services too, which have no row in ``attempts``.
metrics = Table(
    "metrics",
    metadata,
    *_metric_columns(),
    PrimaryKeyConstraint("attempt", "name", "rank", "step"),
    **_CLUSTERED,
)

# The row of ``metrics`` written last by (attempt, name, rank), so that progress is read without a scan.
latest_metrics = Table(
    "latest_metrics",
    metadata,
    *_metric_columns(),
    PrimaryKeyConstraint("attempt", "name", "rank"),
    **_CLUSTERED,
)

samples = Table(
    "samples",
    metadata,
    _text("attempt"),
    _integer("rank"),
    _time("time"),
    Column("cpu", Double, nullable=False),
    _integer("memory"),
    PrimaryKeyConstraint("attempt", "rank", "time"),
    **_CLUSTERED,
)

services = Table(
    "services",
    metadata,
    _text("service"),
    _integer("revision"),
    _time("created_at"),
    _json("specification"),
    _json("state"),
    PrimaryKeyConstraint("service"),
)

tokens = Table(
    "tokens",
    metadata,
    _text("token"),
    _text("user"),
    _text("group"),
    _text("tier"),
    _time("created_at"),
    _time("expires_at"),
    _time("revoked_at", nullable=True),
    PrimaryKeyConstraint("token"),
)

audit = Table(
    "audit",
    metadata,
    _integer("hour"),
    _text("user"),
    _text("group"),
    _text("tier"),
    _text("service"),
    _text("outcome"),
    _integer("requests"),
    _integer("received"),
    _integer("sent"),
    Column("seconds", Double, nullable=False),
    _time("first_at"),
    _time("last_at"),
    PrimaryKeyConstraint("hour", "user", "group", "tier", "service", "outcome"),
    **_CLUSTERED,
)

# How far the gateway's log is counted: written in the transaction that adds what was counted.
audit_position = Table(
    "audit_position",
    metadata,
    _text("log"),
    _integer("file"),
    _integer("offset"),
    PrimaryKeyConstraint("log"),
)

# Alembic's own table, written by us too: a new database is made without importing Alembic.
alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
