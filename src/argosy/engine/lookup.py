"""Answers the core's questions to the memo store and the artifact store."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from argosy.artifacts.reference import Inline, Stored, Value, references
from argosy.engine.commands import LookUpMemo, ReadList, Remember
from argosy.engine.events import MapExpanded, MapRefused, MemoFound, MemoMissed
from argosy.engine.memo import explain_expiry, explain_hit, explain_miss
from argosy.engine.ports import Artifacts, Records
from argosy.errors import ArgosyError, Unavailable
from argosy.metadata.records import MemoRecord


def memo_record(command: Remember, run: str, step: str, time: float) -> MemoRecord:
    return MemoRecord(
        key=command.key,
        step=step,
        created_at=time,
        output=msgspec.json.encode(command.output),
        parts=msgspec.json.encode(command.parts),
        run=run,
        node=command.node,
    )


def look_up(
    commands: Sequence[tuple[str, LookUpMemo]], records: Records, artifacts: Artifacts, now: float
) -> list[MemoFound | MemoMissed]:
    """Answer many look-ups (each with its step's name) with one query."""
    found = records.memos([command.key for _, command in commands])
    latest: dict[str, dict[str, str] | None] = {}
    answers: list[MemoFound | MemoMissed] = []
    for step, command in commands:
        memo = found.get(command.key)
        if memo is None:
            if step not in latest:
                latest[step] = _latest_parts(records, step)
            reason = explain_miss(command.parts, latest[step])
            answers.append(MemoMissed(now, command.node, command.key, reason))
        else:
            answers.append(_judge(command, memo, artifacts, now))
    return answers


def _latest_parts(records: Records, step: str) -> dict[str, str] | None:
    memo = records.latest_memo(step)
    return msgspec.json.decode(memo.parts, type=dict[str, str]) if memo else None


def _judge(command: LookUpMemo, memo: MemoRecord, artifacts: Artifacts, now: float) -> MemoFound | MemoMissed:
    age = now - memo.created_at
    if command.max_age_seconds is not None and age > command.max_age_seconds:
        return MemoMissed(now, command.node, command.key, explain_expiry(age, command.max_age_seconds))
    output: Value = msgspec.json.decode(memo.output, type=Value)
    for reference in references(output):
        if not artifacts.exists(reference):
            reason = f"the earlier result's artifact {reference.digest[:12]} is gone"
            return MemoMissed(now, command.node, command.key, reason)
    return MemoFound(now, command.node, command.key, output, explain_hit(memo.run, memo.node, age))


def read_list(command: ReadList, artifacts: Artifacts, now: float) -> MapExpanded | MapRefused:
    """The items of a stored JSON list, or why there are none. Nothing else is read: it may be code."""
    if isinstance(command.value, Stored) and command.value.reference.type != "json":
        reason = f"map needs a list, got an artifact of type {command.value.reference.type}"
        return MapRefused(now, command.node, reason)
    try:
        value = artifacts.get(command.value)
    except Unavailable:
        raise
    except ArgosyError as error:
        return MapRefused(now, command.node, str(error))
    if not isinstance(value, list):
        return MapRefused(now, command.node, f"map needs a list, got {type(value).__name__}")
    items = tuple(Inline(msgspec.Raw(msgspec.json.encode(item, order="sorted"))) for item in value)
    return MapExpanded(now, command.node, items)
