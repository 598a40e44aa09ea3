"""The reads, as SQLAlchemy statements compiled once and kept."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Delete,
    Double,
    Integer,
    Select,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    tuple_,
)

from argosy.metadata.schema import (
    artifacts,
    attempts,
    audit,
    audit_position,
    events,
    latest_metrics,
    memos,
    metrics,
    nodes,
    runs,
    samples,
    services,
    tokens,
)

Query = Select[Any]

RUNS: Final[Query] = (
    select(runs)
    .order_by(runs.c.created_at.desc(), runs.c.run.desc())
    .limit(bindparam("limit", type_=Integer))
)
RUN: Final[Query] = select(runs).where(runs.c.run == bindparam("run"))
UNFINISHED_RUNS: Final[Query] = (
    select(runs).where(runs.c.state == "running").order_by(runs.c.created_at, runs.c.run)
)
NODES: Final[Query] = (
    select(nodes).where(nodes.c.run == bindparam("run")).order_by(nodes.c.position, nodes.c.node)
)
ATTEMPTS: Final[Query] = (
    select(attempts)
    .where(attempts.c.run == bindparam("run"))
    .order_by(attempts.c.node, attempts.c.number, attempts.c.attempt)
)
NODE_ATTEMPTS: Final[Query] = ATTEMPTS.where(attempts.c.node == bindparam("node"))
EVENTS: Final[Query] = (
    select(events)
    .where(events.c.run == bindparam("run"), events.c.sequence > bindparam("after"))
    .order_by(events.c.sequence)
)
LATEST_MEMO: Final[Query] = (
    select(memos)
    .where(memos.c.step == bindparam("step"))
    .order_by(memos.c.created_at.desc(), memos.c.key.desc())
    .limit(1)
)
METRICS: Final[Query] = (
    select(metrics)
    .where(metrics.c.attempt == bindparam("attempt"))
    .order_by(metrics.c.name, metrics.c.rank, metrics.c.step)
)
NAMED_METRICS: Final[Query] = METRICS.where(metrics.c.name == bindparam("name"))
LATEST_METRICS: Final[Query] = (
    select(latest_metrics)
    .join(attempts, attempts.c.attempt == latest_metrics.c.attempt)
    .where(attempts.c.run == bindparam("run"))
    .order_by(latest_metrics.c.attempt, latest_metrics.c.name, latest_metrics.c.rank)
)
SAMPLES: Final[Query] = (
    select(samples).where(samples.c.attempt == bindparam("attempt")).order_by(samples.c.time, samples.c.rank)
)
SERVICES: Final[Query] = select(services).order_by(services.c.created_at, services.c.service)
TOKENS: Final[Query] = select(tokens).order_by(tokens.c.created_at, tokens.c.token)
TOKEN: Final[Query] = select(tokens).where(tokens.c.token == bindparam("token"))
AUDIT_POSITION: Final[Query] = select(audit_position).where(audit_position.c.log == bindparam("log"))
ARTIFACT: Final[Query] = (
    select(artifacts)
    .where(artifacts.c.digest == bindparam("digest"))
    .order_by(artifacts.c.created_at, artifacts.c.type)
    .limit(1)
)

ARTIFACTS_FROM: Final[Query] = (
    select(artifacts)
    .where(
        artifacts.c.digest >= bindparam("first"),
        artifacts.c.digest < bindparam("after"),
        artifacts.c.type == bindparam("type"),
    )
    .order_by(artifacts.c.digest)
    .limit(100)
)


def audit_of(*, user: str | None, service: str | None) -> Query:
    """Rows since a time, of one user, one service, or all."""
    query = select(audit).where(audit.c.last_at >= bindparam("since", type_=Double))
    if user is not None:
        query = query.where(audit.c.user == bindparam("user"))
    if service is not None:
        query = query.where(audit.c.service == bindparam("service"))
    return query.order_by(audit.c.hour, *(audit.c[name] for name in ("user", "service", "tier", "outcome")))


def memos_of(keys: list[str]) -> Query:
    return select(memos).where(memos.c.key.in_(keys))


def run_counts_of(keys: list[str]) -> Query:
    return (
        select(nodes.c.run, nodes.c.state, func.count())
        .where(nodes.c.run.in_(keys))
        .group_by(nodes.c.run, nodes.c.state)
    )


@cache
def forget_memo() -> Delete:
    return delete(memos).where(memos.c.key == bindparam("key"))


@cache
def delete_service() -> Delete:
    return delete(services).where(services.c.service == bindparam("service"))


@cache
def forget_audit() -> Delete:
    return delete(audit).where(audit.c.last_at < bindparam("before", type_=Double))


@cache
def thin_samples() -> Delete:
    """Of the samples before ``older_than``, delete all but the first in each interval of ``keep_every``."""
    interval = cast(samples.c.time / bindparam("keep_every"), Integer)
    place = func.row_number().over(
        partition_by=(samples.c.attempt, samples.c.rank, interval), order_by=samples.c.time
    )
    numbered = (
        select(samples.c.attempt, samples.c.rank, samples.c.time, place.label("place"))
        .where(samples.c.time < bindparam("older_than"))
        .subquery()
    )
    surplus = select(numbered.c.attempt, numbered.c.rank, numbered.c.time).where(
        numbered.c.place > literal_column("1")
    )
    return delete(samples).where(tuple_(samples.c.attempt, samples.c.rank, samples.c.time).in_(surplus))
