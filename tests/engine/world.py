"""A simulated outside: scheduler, memo store, processes, timers and services, and an adversary."""

from __future__ import annotations

from random import Random

import msgspec

from argosy.artifacts.reference import Value
from argosy.engine import commands
from argosy.engine.attempts import LOSS_LIMIT
from argosy.engine.core import decide
from argosy.engine.events import (
    AttemptEnded,
    AttemptGranted,
    AttemptStarted,
    BackoffElapsed,
    CancelRequested,
    Event,
    MapExpanded,
    MapRefused,
    MemoFound,
    MemoMissed,
    RunSubmitted,
    ServiceFailed,
    ServiceReady,
)
from argosy.engine.identity import split_attempt_id
from argosy.engine.recovery import outstanding
from argosy.engine.state import Phase, Plan, RunPhase, RunState
from argosy.engine.validation import violations
from argosy.flow.graph import Graph, NodeId, StepNode
from argosy.runtime.protocol import AttemptId, Cause, Outcome

from .random_graphs import Failing, Functions

Key = tuple[str, ...]


def key_of(command: commands.Command) -> Key | None:
    """What an answer will be about; None for commands that have no answer."""
    match command:
        case commands.LookUpMemo(node, key):
            return ("look up", node, key)
        case commands.ReadList(node):
            return ("read", node)
        case commands.Enqueue(_, attempt):
            return ("enqueue", attempt)
        case commands.Launch(_, attempt):
            return ("launch", attempt)
        case commands.Stop(attempt):
            return ("stop", attempt)
        case commands.StartTimer(node, number):
            return ("timer", node, str(number))
        case commands.Deploy(node, generation):
            return ("deploy", node, str(generation))
        case _:
            return None


class World:
    """Plays one run to its end by a seed. Without ``faults``, steps only fail by themselves.

    ``missing`` holds the commands whose answers have not come, kept by what is said and not by looking at
    the state. ``earlier`` is the world of a run before this one, whose results are kept.
    """

    def __init__(self, graph: Graph, seed: int, faults: bool, earlier: World | None = None):
        self.plan = Plan("run", graph)
        self.state = RunState()
        self.functions = earlier.functions if earlier else Functions()
        self.events: list[Event] = []
        self.states: list[RunState] = []
        self.memo: dict[str, Value] = earlier.memo if earlier else {}
        self.missing: dict[Key, commands.Command] = {}
        self.alive: dict[AttemptId, commands.Launch] = {}
        self.finishes = 0
        self._faults = faults
        self._random = Random(seed)
        self._time = 0.0

    def play(self) -> None:
        self.deliver(RunSubmitted(self._time))
        for _ in range(4000):
            if self.state.phase is not RunPhase.RUNNING:
                return
            self._step()
        raise AssertionError("the run does not end")

    # Events in, commands out.

    def deliver(self, event: Event) -> None:
        before, copy = self.state, dict(self.state.nodes)
        decision = decide(self.plan, before, event)
        assert dict(before.nodes) == copy, "the state before was changed"
        if self._random.random() < 0.2:
            assert decide(self.plan, before, event) == decision, "equal inputs, different outputs"
        self.state = decision.state
        self.events.append(event)
        self.states.append(decision.state)
        self._answered(event)
        for command in decision.commands:
            self._issue(command)
        self._check()

    def _answered(self, event: Event) -> None:
        match event:
            case MemoFound(node=node, key=key) | MemoMissed(node=node, key=key):
                self.missing.pop(("look up", node, key), None)
            case MapExpanded(node=node) | MapRefused(node=node):
                self.missing.pop(("read", node), None)
            case AttemptGranted(attempt=attempt):
                self.missing.pop(("enqueue", attempt), None)
            case AttemptEnded(attempt=attempt):
                self.missing.pop(("launch", attempt), None)
                self.missing.pop(("stop", attempt), None)
            case BackoffElapsed(node=node, number=number):
                self.missing.pop(("timer", node, str(number)), None)
            case ServiceReady(node=node, generation=number) | ServiceFailed(node=node, generation=number):
                self.missing.pop(("deploy", node, str(number)), None)
            case CancelRequested():
                # Whatever is not running has nothing to wait for any more.
                self.missing = {k: v for k, v in self.missing.items() if k[0] == "stop"}
            case _:
                pass

    def _issue(self, command: commands.Command) -> None:
        match command:
            case commands.Launch(_, attempt):
                assert attempt not in self.alive, "launched twice"
                node = split_attempt_id(attempt)[1]
                others = [a for a in self.alive if split_attempt_id(a)[1] == node]
                assert not others, f"{attempt} beside {others}"
                self.alive[attempt] = command
            case commands.Remember(node, key, _, output):
                assert self.memo.setdefault(key, output) == output, f"two results under one key of {node}"
                return
            case commands.FinishRun():
                self.finishes += 1
            case commands.Stop(attempt) if attempt not in self.alive:
                return
            case _:
                pass
        key = key_of(command)
        if key is not None:
            self.missing[key] = command

    def _check(self) -> None:
        assert violations(self.plan, self.state) == []
        asked = {key_of(command): command for command in outstanding(self.plan, self.state)}
        assert asked.keys() == self.missing.keys()
        for key, command in asked.items():
            if key is not None and key[0] != "stop" and not self._is_streaming(key):
                assert command == self.missing[key]
        ended = self.state.phase is not RunPhase.RUNNING
        assert self.finishes == ended
        assert not ended or not self.alive

    def _is_streaming(self, key: Key) -> bool:
        """Asked for again, a node fed by arriving takes what has arrived since."""
        node = split_attempt_id(AttemptId(key[1]))[1] if ":" in key[1] else NodeId(key[1])
        return self.plan.node_of(node).id in self.plan.streaming

    # What happens next.

    def _step(self) -> None:
        self._time += self._random.choice([0.0, 0.5, 2.0])
        chance = self._random.random()
        if self._faults and chance < 0.10:
            self._echo()
        elif self._faults and chance < 0.11:
            self.deliver(CancelRequested(self._time, "enough"))
        elif chance < 0.14:
            self._crash()
        else:
            self._answer(self._random.choice(list(self.missing.values())))

    def _echo(self) -> None:
        """Something that was said before is said again, or something unheard-of."""
        event = self._random.choice(self.events)
        if isinstance(event, CancelRequested) or (
            # An attempt whose end was reported is gone, so its end can only be repeated.
            isinstance(event, AttemptGranted) and ("enqueue", event.attempt) in self.missing
        ):
            return
        self.deliver(event)

    def _crash(self) -> None:
        """Everything but the committed events is forgotten; some processes die with it."""
        recovered = RunState()
        for event in self.events:
            decoded = msgspec.json.decode(msgspec.json.encode(event), type=Event)
            recovered = decide(self.plan, recovered, decoded).state
        assert recovered == self.state
        self.state = recovered
        self.missing.clear()
        for attempt in list(self.alive):
            if self._random.random() < 0.3 and self._can_lose(attempt):
                del self.alive[attempt]
        gone = []
        for command in outstanding(self.plan, self.state):
            key = key_of(command)
            assert key is not None
            self.missing[key] = command
            if isinstance(command, commands.Launch | commands.Stop) and command.attempt not in self.alive:
                gone.append(command)
        for command in gone:
            self._lost(command)

    def _lost(self, command: commands.Launch | commands.Stop) -> None:
        _, node, number = split_attempt_id(command.attempt)
        if isinstance(command, commands.Launch) and self.state.nodes[node].phase is Phase.STARTING:
            self.alive[command.attempt] = command
            return
        outcome = Outcome(Cause.LOST, "gone")
        self.deliver(AttemptEnded(self._time, command.attempt, number, outcome))

    def _can_lose(self, attempt: AttemptId) -> bool:
        node = split_attempt_id(attempt)[1]
        return self._faults or self.state.nodes[node].losses < LOSS_LIMIT

    def _answer(self, command: commands.Command) -> None:
        match command:
            case commands.LookUpMemo(node, key):
                known = self.memo.get(key)
                if known is None or self._random.random() < 0.2:
                    self.deliver(MemoMissed(self._time, node, key, "unknown"))
                else:
                    self.deliver(MemoFound(self._time, node, key, known, "known"))
            case commands.ReadList(node, value):
                items = self.functions.items(value)
                if items is None:
                    self.deliver(MapRefused(self._time, node, "not a list"))
                else:
                    self.deliver(MapExpanded(self._time, node, items))
            case commands.Enqueue(_, attempt):
                self.deliver(AttemptGranted(self._time, attempt, split_attempt_id(attempt)[2]))
            case commands.StartTimer(node, number):
                self.deliver(BackoffElapsed(self._time, node, number))
            case commands.Deploy(node, generation, models):
                self._serve(node, generation, models)
            case commands.Launch(_, attempt) | commands.Stop(attempt):
                self._go_on(attempt, stopped=isinstance(command, commands.Stop))
            case _:
                raise AssertionError(command)

    def _serve(self, node: NodeId, generation: int, models: Value) -> None:
        try:
            output = self.functions.call(self.plan.nodes[node], {"models": models})
        except Failing:
            self.deliver(ServiceFailed(self._time, node, generation, "it does not answer"))
            return
        endpoint = msgspec.json.decode(msgspec.json.encode(output))["json"]
        self.deliver(ServiceReady(self._time, node, generation, endpoint))

    def _go_on(self, attempt: AttemptId, stopped: bool) -> None:
        """The processes of an attempt start, or end in one of the ways there are."""
        _, node, number = split_attempt_id(attempt)
        launch = self.alive[attempt]
        if self.state.nodes[node].phase is Phase.STARTING and self._random.random() < 0.5:
            self.deliver(AttemptStarted(self._time, attempt, number))
            return
        del self.alive[attempt]
        outcome, output = self._end(launch, stopped)
        self.deliver(AttemptEnded(self._time, attempt, number, outcome, output))

    def _end(self, launch: commands.Launch, stopped: bool) -> tuple[Outcome, Value | None]:
        chance = self._random.random()
        if stopped and chance < 0.7:
            return Outcome(Cause.CANCELLED, "as asked"), None
        if chance < 0.1 and self._can_lose(launch.attempt):
            return Outcome(self._random.choice([Cause.LOST, Cause.PREEMPTED])), None
        if chance < 0.25 and self._can_fail(launch.node):
            return Outcome(self._random.choice([Cause.ERROR, Cause.SIGNAL, Cause.TIMEOUT])), None
        if chance < 0.28 and self._faults:
            return Outcome(self._random.choice([Cause.IMPORT_ERROR, Cause.CORRUPT_INPUT])), None
        try:
            output = self.functions.call(self.plan.node_of(launch.node), launch.inputs)
        except Failing:
            return Outcome(Cause.ERROR, "it raised"), None
        return Outcome(Cause.SUCCEEDED), output

    def _can_fail(self, node: NodeId) -> bool:
        step = self.plan.node_of(node)
        assert isinstance(step, StepNode)
        return self._faults or self.state.nodes[node].failures < step.retry.limit
