"""A run in memory, and one turn of the shell: what it will commit, and do once that is committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from argosy.engine import commands
from argosy.engine.state import Plan, RunState
from argosy.metadata.records import AttemptRecord, Record
from argosy.runtime.protocol import AttemptId


@dataclass(slots=True)
class LiveRun:
    """A run that has not ended. ``sequence`` is that of its newest event."""

    plan: Plan
    user: str
    state: RunState = field(default_factory=RunState)
    sequence: int = 0
    attempts: dict[str, AttemptRecord] = field(default_factory=dict)


@dataclass(slots=True)
class Turn:
    """What one turn will commit and do. Rows of one key replace each other; order of keys is kept."""

    rows: dict[tuple[str, ...], Record] = field(default_factory=dict)
    outside: list[tuple[LiveRun, commands.Command]] = field(default_factory=list)
    look_ups: list[tuple[LiveRun, commands.LookUpMemo]] = field(default_factory=list)
    acknowledge: list[tuple[AttemptId, int]] = field(default_factory=list)
    before: dict[str, tuple[RunState, int, dict[str, AttemptRecord]]] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
