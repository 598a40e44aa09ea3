"""A run in memory, and one turn of the shell: what it will commit, and do once that is committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from argosy.engine import commands, records
from argosy.engine.events import AttemptEnded, AttemptStarted, Event
from argosy.engine.state import Plan, RunState
from argosy.flow.graph import NodeId
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
    """What one turn will commit and do. Rows of one key replace each other; order of keys is kept.

    ``strays`` are attempts of no run that turned out to be running.
    """

    rows: dict[tuple[str, ...], Record] = field(default_factory=dict)
    outside: list[tuple[LiveRun, commands.Command]] = field(default_factory=list)
    look_ups: list[tuple[LiveRun, commands.LookUpMemo]] = field(default_factory=list)
    acknowledge: list[tuple[AttemptId, int]] = field(default_factory=list)
    before: dict[str, tuple[RunState, int, dict[str, AttemptRecord]]] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    strays: list[AttemptId] = field(default_factory=list)

    def note_event(self, live: LiveRun, event: Event) -> None:
        """The event itself, as the next of its run, and what it says of its attempt."""
        run, sequence = live.plan.run, live.sequence + 1
        self.rows["event", run, str(sequence)] = records.event_record(run, sequence, event)
        live.sequence = sequence
        if isinstance(event, AttemptStarted | AttemptEnded):
            self._note_attempt(live, event)

    def note_run(self, live: LiveRun) -> None:
        run = live.plan.run
        self.rows["run", run] = records.run_record(live.plan, live.state, live.user)
        self.changed[run] = None

    def note_nodes(self, live: LiveRun, before: RunState, touched: tuple[NodeId, ...]) -> None:
        run = live.plan.run
        for node in touched:
            state = live.state.nodes[node]
            if not records.looks_the_same(before.nodes.get(node), state):
                self.rows["node", run, node] = records.node_record(live.plan, node, state)
                self.changed[run] = None

    def _note_attempt(self, live: LiveRun, event: AttemptStarted | AttemptEnded) -> None:
        record = live.attempts.get(event.attempt)
        if record is None or record.token != event.token:
            return
        if isinstance(event, AttemptStarted):
            record = live.attempts[event.attempt] = records.started_record(record, event)
        else:
            record = records.ended_record(live.attempts.pop(event.attempt), event)
            if event.output is not None:
                for row in records.artifact_records(event.output, event.attempt, event.time):
                    self.rows["artifact", row.digest, row.type] = row
        self.rows["attempt", event.attempt] = record
