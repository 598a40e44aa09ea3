"""The engine's durable shell: every decision is committed before it is acted on.

One turn takes in all events at hand, lets the core decide, commits everything in one transaction and only
then starts, stops and acknowledges. What is decided without touching the outside (room from the scheduler,
memo look-ups) is decided within the turn, so a chain costs one commit a step.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from argosy.clock import Clock
from argosy.crash_points import pass_crash_point
from argosy.engine import commands, lookup, records, specs
from argosy.engine.core import decide
from argosy.engine.degradation import log_change, reason_of
from argosy.engine.events import (
    AttemptEnded,
    AttemptGranted,
    AttemptStarted,
    CancelRequested,
    Event,
    RunSubmitted,
    ServiceFailed,
    ServiceReady,
)
from argosy.engine.identity import attempt_id, split_attempt_id
from argosy.engine.outside import Outside
from argosy.engine.ports import Artifacts, Processes, Records, Services
from argosy.engine.recovery import give_up, given_up, held_attempts, restore, resumption
from argosy.engine.state import Phase, Plan
from argosy.engine.telemetry import Telemetry
from argosy.engine.turn import LiveRun, Turn
from argosy.errors import NotFound, Unavailable
from argosy.flow.graph import Graph, NodeId
from argosy.home import Home
from argosy.metadata.records import Record, RunRecord
from argosy.runtime.protocol import AttemptId, Cause, Ended, Reported, RuntimeEvent, Sampled, Started
from argosy.schedule.model import JobId
from argosy.schedule.queue import JobQueue
from argosy.schedule.state import ScheduleState

_LOG = logging.getLogger(__name__)
# A turn ends after so many events, so that a burst of thousands is committed in pieces.
_TURN = 512
_RETRY_SECONDS = 1.0
_SOFT_SECONDS = 0.1


class Engine:
    """Runs graphs, from :meth:`recover` to :meth:`close`. All methods belong to the event loop's thread.

    ``on_change(run)`` is called after a commit that changed something a person can see of the run. What is
    reported before ``recover`` waits for it: a result must not be taken for one of a run that is over.
    """

    def __init__(
        self,
        home: Home,
        store: Records,
        artifacts: Artifacts,
        queue: JobQueue,
        processes: Processes,
        services: Services,
        clock: Clock,
        on_change: Callable[[str], None],
    ):
        self.runs: dict[str, LiveRun] = {}
        self.telemetry = Telemetry()
        self.degraded = ""
        self._store = store
        self._artifacts = artifacts
        self._queue = queue
        self._processes = processes
        self._clock = clock
        self._on_change = on_change
        self._outside = Outside(home, processes, services, clock, self._post)
        self._open = False
        self._closed = False
        self._inbox: deque[tuple[str, Event]] = deque()
        self._soft_rows: list[Record] = []
        self._turn_due: asyncio.Handle | None = None
        self._flush_due: asyncio.TimerHandle | None = None

    # What people ask for.

    def submit(self, run: str, graph: Graph, user: str) -> None:
        """Start a run; it is committed when this returns. Raises Unavailable if it can not be."""
        live = LiveRun(Plan(run, graph), user)
        self.runs[run] = live
        self._inbox.append((run, RunSubmitted(self._clock.now())))
        self._take_turns()
        if live.sequence == 0:
            del self.runs[run]
            self._inbox = deque(item for item in self._inbox if item[0] != run)
            raise Unavailable(
                f"the run was not accepted: {self.degraded or 'the control plane is not up'}",
                hint="see that the home folder has room and is writable, then submit again",
            )

    def cancel(self, run: str, reason: str) -> None:
        """Ask a run to end: running attempts are stopped, waiting nodes never start."""
        if run not in self.runs:
            raise NotFound(f"run {run!r} is not running", hint="see `argosy runs`")
        self._post(run, CancelRequested(self._clock.now(), reason))

    def waiting_reason(self, run: str, node: NodeId) -> str:
        """Why a queued node waits, in the scheduler's words."""
        live = self.runs.get(run)
        state = live.state.nodes.get(node) if live else None
        return self._queue.explain(JobId(f"{run}:{node}:{state.attempt}")) if state else ""

    # What is reported from outside.

    def owns(self, attempt: AttemptId) -> bool:
        """Whether an attempt's name is one that the engine gave."""
        return attempt.count(":") == 2 and not attempt.startswith(("service-", "gateway-"))

    def on_runtime_event(self, event: RuntimeEvent) -> None:
        run = split_attempt_id(event.attempt)[0]
        match event:
            case Started(attempt, token, processes, time):
                self._post(run, AttemptStarted(time, attempt, token, processes))
            case Ended(attempt, token, outcome, time, output):
                self._post(run, AttemptEnded(time, attempt, token, outcome, output))
            case Reported():
                self.telemetry.reported(event)
                self._flush_soon()
                if run in self.runs:
                    self._show(run)
            case Sampled():
                self.telemetry.sampled(event)
                self._flush_soon()

    def service_ready(self, run: str, node: NodeId, generation: int, endpoint: dict[str, object]) -> None:
        self._post(run, ServiceReady(self._clock.now(), node, generation, endpoint))

    def service_failed(self, run: str, node: NodeId, generation: int, reason: str) -> None:
        self._post(run, ServiceFailed(self._clock.now(), node, generation, reason))

    # Recovery and end.

    def recover(self, alive: frozenset[tuple[AttemptId, int]]) -> None:
        """Resume every unfinished run: fold its events, adopt what lives, ask again for the rest."""
        for record in self._store.unfinished_runs():
            self._restore(record)
        runs = list(self.runs.values())
        for live in runs:
            # What runs already holds its room, of whatever run, before anything new is granted.
            self._adopt(live)
        for live in runs:
            self._resume(live, alive)
        known = {held for live in self.runs.values() for held in held_attempts(live)}
        for attempt, token in alive:
            if self.owns(attempt) and (attempt, token) not in known:
                self._processes.stop(attempt, Cause.CANCELLED, "its run has ended")
        self._inbox.extend(self._grants())
        self._open = True
        self._take_turns()

    def _restore(self, record: RunRecord) -> None:
        try:
            self.runs[record.run] = restore(self._store, record)
        except Exception as error:
            # One unreadable run must not keep the others from resuming.
            _LOG.exception("run %s can not be resumed", record.run)
            self._store.write([given_up(record, str(error), self._clock.now())])

    def close(self) -> None:
        """Commit what has been reported and write what is left to write. Nothing is started any more."""
        self._closed = True
        self._take_turns()
        self._outside.close()
        for due in filter(None, (self._turn_due, self._flush_due)):
            due.cancel()
        self._flush()

    # One turn.

    def _post(self, run: str, event: Event) -> None:
        if self._closed:
            return
        self._inbox.append((run, event))
        if self._open and self._turn_due is None and not self.degraded:
            self._turn_due = asyncio.get_running_loop().call_soon(self._take_turns)

    def _take_turns(self) -> None:
        self._turn_due = None
        while self._open and self._inbox and self._take_turn():
            pass

    def _take_turn(self) -> bool:
        turn = Turn()
        schedule = self._queue.state
        taken: list[tuple[str, Event]] = []
        try:
            while self._inbox and len(taken) < _TURN:
                taken.append(self._inbox.popleft())
                self._handle(turn, *taken[-1])
            self._answer_within(turn)
            pass_crash_point("engine.before_commit")
            self._commit(turn)
        except Exception as error:
            self._undo(turn, schedule, taken, error)
            return False
        self._degrade(None)
        pass_crash_point("engine.after_commit")
        self._act(turn)
        pass_crash_point("engine.after_act")
        return True

    def _handle(self, turn: Turn, run: str, event: Event) -> None:
        live = self.runs.get(run)
        if isinstance(event, AttemptEnded):
            turn.acknowledge.append((event.attempt, event.token))
            self.telemetry.forget(event.attempt)
        if live is None:
            if isinstance(event, AttemptEnded):
                self._queue.withdraw(JobId(event.attempt))
            elif isinstance(event, AttemptStarted):
                turn.strays.append(event.attempt)
            return
        if run not in turn.before:
            turn.before[run] = (live.state, live.sequence, dict(live.attempts))
        before = live.state
        try:
            decision = decide(live.plan, before, event)
            turn.note_event(live, event)
        except Exception as error:
            self._give_up(turn, live, error)
            return
        live.state = decision.state
        if decision.run_changed:
            turn.note_run(live)
        turn.note_nodes(live, before, decision.touched)
        for command in decision.commands:
            self._sort(turn, live, command)

    def _give_up(self, turn: Turn, live: LiveRun, error: Exception) -> None:
        """A fault of the core itself must not keep the other runs from going on."""
        run = live.plan.run
        _LOG.error("run %s is given up", run, exc_info=error)
        for attempt, _ in held_attempts(live):
            turn.outside.append((live, commands.Stop(attempt, Cause.CANCELLED, "its run was given up")))
        before = live.state
        for node, state in before.nodes.items():
            if state.phase is Phase.QUEUED:
                self._queue.withdraw(JobId(attempt_id(run, node, state.attempt)))
        live.state = give_up(before, f"a fault in Argosy, {error!r}", self._clock.now())
        turn.note_nodes(live, before, tuple(live.state.nodes))
        turn.note_run(live)
        turn.outside.append((live, commands.FinishRun()))

    def _sort(self, turn: Turn, live: LiveRun, command: commands.Command) -> None:
        """Carry out at once what touches nothing outside; keep the rest until after the commit."""
        match command:
            case commands.Enqueue(node, attempt):
                job = specs.job_for(live.plan, node, attempt, live.state.nodes[node].queued_at)
                self._queue.submit(job)
            case commands.Withdraw(attempt):
                self._queue.withdraw(JobId(attempt))
            case commands.LookUpMemo():
                turn.look_ups.append((live, command))
            case commands.ReadList():
                now = self._clock.now()
                self._handle(turn, live.plan.run, lookup.read_list(command, self._artifacts, now))
            case commands.Remember():
                step = live.plan.step_of(command.node).step
                turn.rows["memo", command.key] = lookup.memo_record(
                    command, live.plan.run, step, self._clock.now()
                )
            case commands.Launch():
                record = records.launched_record(live.plan, command, self._clock.now())
                live.attempts[command.attempt] = record
                turn.rows["attempt", command.attempt] = record
                turn.outside.append((live, command))
            case _:
                turn.outside.append((live, command))

    def _answer_within(self, turn: Turn) -> None:
        """Grants and memo answers of this turn, until none is left."""
        while True:
            look_ups, turn.look_ups = turn.look_ups, []
            for live, answer in self._look_up(look_ups):
                self._handle(turn, live.plan.run, answer)
            granted = self._grants()
            for run, grant in granted:
                self._handle(turn, run, grant)
            if not granted and not turn.look_ups:
                return

    def _grants(self) -> list[tuple[str, AttemptGranted]]:
        now, granted = self._clock.now(), map(AttemptId, self._queue.take_granted())
        split = ((attempt, split_attempt_id(attempt)) for attempt in granted)
        return [(run, AttemptGranted(now, attempt, number)) for attempt, (run, _, number) in split]

    def _look_up(self, wanted: list[tuple[LiveRun, commands.LookUpMemo]]) -> list[tuple[LiveRun, Event]]:
        if not wanted:
            return []
        named = [(live.plan.step_of(command.node).step, command) for live, command in wanted]
        answers = lookup.look_up(named, self._store, self._artifacts, self._clock.now())
        return [(live, answer) for (live, _), answer in zip(wanted, answers, strict=True)]

    def _commit(self, turn: Turn) -> None:
        rows = [*self._soft_rows, *turn.rows.values()]
        if all(row_key[0] in ("event", "attempt", "node") for row_key in turn.rows) and not (
            turn.outside or turn.acknowledge
        ):
            # Nothing is acted on and nothing is promised: these rows can ride with the next commit.
            self._soft_rows = rows
            self._flush_soon()
            return
        self._store.write(rows)
        self._soft_rows = []

    def _undo(
        self, turn: Turn, schedule: ScheduleState, taken: list[tuple[str, Event]], error: Exception
    ) -> None:
        """Nothing was committed, so nothing has happened: put everything back and try again later."""
        for run, (state, sequence, attempts) in turn.before.items():
            live = self.runs[run]
            live.state, live.sequence, live.attempts = state, sequence, attempts
        self._queue.state = schedule
        self._queue.take_granted()
        self._inbox.extendleft(reversed(taken))
        self._degrade(error)
        self._outside.later(_RETRY_SECONDS, self._take_turns)

    def _degrade(self, error: Exception | None) -> None:
        if (reason := reason_of(error)) != self.degraded:
            self.degraded = reason
            log_change(reason, error)
            for run in self.runs:
                self._show(run)

    def _act(self, turn: Turn) -> None:
        for attempt, token in turn.acknowledge:
            self._processes.acknowledge(attempt, token)
        for attempt in turn.strays:
            self._processes.stop(attempt, Cause.CANCELLED, "its run has ended")
        for live, command in turn.outside:
            if isinstance(command, commands.FinishRun):
                self.runs.pop(live.plan.run, None)
                turn.changed[live.plan.run] = None
            elif not self._closed:
                self._outside.carry_out(live.plan, command)
        for run in turn.changed:
            self._show(run)

    def _show(self, run: str) -> None:
        try:
            self._on_change(run)
        except Exception:
            _LOG.exception("a change of run %s could not be shown", run)

    # Telemetry and other rows nobody waits for.

    def _flush_soon(self) -> None:
        if self._flush_due is None:
            self._flush_due = asyncio.get_running_loop().call_later(_SOFT_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flush_due = None
        telemetry = self.telemetry.take_rows()
        rows = [*self._soft_rows, *telemetry]
        if not rows:
            return
        try:
            self._store.write(rows)
            self._soft_rows = []
        except Unavailable as error:
            self.telemetry.put_back(telemetry)
            _LOG.warning("telemetry waits: %s", error.message)

    # Recovery in detail.

    def _adopt(self, live: LiveRun) -> None:
        for attempt, _ in held_attempts(live):
            node = split_attempt_id(attempt)[1]
            self._queue.adopt(specs.job_for(live.plan, node, attempt, live.state.nodes[node].queued_at))

    def _resume(self, live: LiveRun, alive: frozenset[tuple[AttemptId, int]]) -> None:
        """Leave be what lives, declare lost what ran and does not, ask again for everything else."""
        turn, run, now = Turn(), live.plan.run, self._clock.now()
        again, ends = resumption(live, alive, now)
        self._inbox.extend((run, end) for end in ends)
        for command in again:
            match command:
                case commands.Launch():
                    turn.outside.append((live, command))
                case commands.ReadList():
                    self._inbox.append((run, lookup.read_list(command, self._artifacts, now)))
                case _:
                    self._sort(turn, live, command)
        self._inbox.extend((run, answer) for _, answer in self._look_up(turn.look_ups))
        for _, command in turn.outside:
            self._outside.carry_out(live.plan, command)
