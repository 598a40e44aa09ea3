"""Records as rows and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Table

from argosy.metadata import schema
from argosy.metadata.records import (
    ArtifactRecord,
    AttemptRecord,
    AuditPosition,
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

Row = tuple[Any, ...]

TABLES: Final[dict[type[Record], Table]] = {
    RunRecord: schema.runs,
    NodeRecord: schema.nodes,
    AttemptRecord: schema.attempts,
    EventRecord: schema.events,
    ArtifactRecord: schema.artifacts,
    MemoRecord: schema.memos,
    MetricRecord: schema.metrics,
    SampleRecord: schema.samples,
    ServiceRecord: schema.services,
    TokenRecord: schema.tokens,
    AuditPosition: schema.audit_position,
}


def row_of(record: NodeRecord) -> Row:
    """A node's row; the rows of all other records are their fields as they are."""
    fields = msgspec.structs.astuple(record)
    return (*fields[:-1], msgspec.json.encode(record.upstream))


ROW_OF: Final[dict[type[Record], Callable[[Any], Row]]] = dict.fromkeys(TABLES, msgspec.structs.astuple) | {
    NodeRecord: row_of
}


def node_of(row: Sequence[Any]) -> NodeRecord:
    *fields, upstream = row
    return NodeRecord(*(*fields, msgspec.json.decode(upstream, type=tuple[str, ...])))


def metric_of(row: Sequence[Any]) -> MetricRecord:
    record = MetricRecord(*row)
    return record if record.value is not None else msgspec.structs.replace(record, value=math.nan)


def without_surrogates(row: Row) -> Row:
    """A row whose texts UTF-8 can hold: a step's own message may carry bytes that were never text."""
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in row
    )
