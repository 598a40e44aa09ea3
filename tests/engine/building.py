"""Graphs in a line, and a run played by hand against the pure core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from argosy.artifacts.reference import ArtifactReference, Inline, Many, Stored, Value
from argosy.engine.commands import (
    Command,
    Deploy,
    Enqueue,
    Launch,
    LookUpMemo,
    ReadList,
    StartTimer,
)
from argosy.engine.core import decide
from argosy.engine.events import (
    AttemptEnded,
    AttemptGranted,
    AttemptStarted,
    BackoffElapsed,
    CancelRequested,
    Event,
    MapExpanded,
    MemoFound,
    MemoMissed,
    RunSubmitted,
    ServiceFailed,
    ServiceReady,
)
from argosy.engine.identity import attempt_id
from argosy.engine.state import NodeState, Phase, Plan, RunState
from argosy.engine.validation import violations
from argosy.flow.graph import (
    Argument,
    Arriving,
    CodeIdentity,
    Collection,
    Graph,
    Literal,
    MemoizeRule,
    Node,
    NodeId,
    Reference,
    ServiceNode,
    SourceReference,
    StepNode,
)
from argosy.runtime.protocol import AttemptId, Cause, Outcome

RUN = "run-1"


def ref(node: str) -> Reference:
    return Reference(NodeId(node))


def arriving(*nodes: str) -> Arriving:
    return Arriving(tuple(ref(node) for node in nodes))


def collection(*nodes: str) -> Collection:
    return Collection(tuple(ref(node) for node in nodes))


def step(node: str, /, **options: Any) -> StepNode:
    """A step whose arguments are the options that are arguments; the others are fields of the node."""
    arguments = {
        name: value
        for name, value in options.items()
        if isinstance(value, Literal | Reference | Collection | Arriving)
    }
    fields = {name: value for name, value in options.items() if name not in arguments}
    if fields.get("memoize") is True:
        fields["memoize"] = MemoizeRule()
    name = node.rstrip("0123456789") or node
    given = {"step": name, "module": "flow", "function": name, "output": "json"} | fields
    return StepNode(id=NodeId(node), arguments=arguments, code=CodeIdentity("c0de", {}), **given)


def service(node: str, models: Argument) -> ServiceNode:
    return ServiceNode(NodeId(node), node, models)


def graph(*nodes: Node, output: Argument | None = None) -> Graph:
    source = SourceReference("50c4e", "flow", "flow.py")
    return Graph("flow", source, {}, nodes, ref(nodes[-1].id) if output is None else output)


def stored(name: str, type: str = "json") -> Stored:
    return Stored(ArtifactReference(name, type, 1))


def inline(value: Any) -> Inline:
    return Inline(msgspec.Raw(msgspec.json.encode(value, order="sorted")))


def many(*items: Value) -> Many:
    return Many(items)


class Play:
    """One run whose outside is the test. Every event is checked: laws hold, the state before is untouched."""

    def __init__(self, *nodes: Node, output: Argument | None = None, submit: bool = True):
        self.plan = Plan(RUN, graph(*nodes, output=output))
        self.state = RunState()
        self.events: list[Event] = []
        self.commands: list[Command] = []
        self.time = 1000.0
        if submit:
            self.submit()

    def send(self, event: Event) -> list[Command]:
        """Apply one event and return the commands that came of it."""
        before = dict(self.state.nodes)
        state = self.state
        decision = decide(self.plan, self.state, event)
        assert dict(state.nodes) == before, "the state before was changed"
        self.events.append(event)
        self.state = decision.state
        self.commands += decision.commands
        assert violations(self.plan, self.state) == []
        return list(decision.commands)

    def submit(self) -> list[Command]:
        return self.send(RunSubmitted(self.time))

    def grant(self, node: str) -> list[Command]:
        attempt, number = self.attempt(node)
        return self.send(AttemptGranted(self.time, attempt, number))

    def start(self, node: str) -> list[Command]:
        attempt, number = self.attempt(node)
        return self.send(AttemptStarted(self.time, attempt, number))

    def begin(self, *nodes: str) -> None:
        """Grant and start."""
        for node in nodes:
            self.grant(node)
            self.start(node)

    def succeed(self, node: str, output: Value | None = None) -> list[Command]:
        return self.end(node, Cause.SUCCEEDED, output=stored(node) if output is None else output)

    def end(
        self,
        node: str,
        cause: Cause,
        message: str = "",
        output: Value | None = None,
        number: int | None = None,
    ) -> list[Command]:
        attempt, newest = self.attempt(node)
        if number is not None:
            attempt, newest = attempt_id(RUN, NodeId(node), number), number
        return self.send(AttemptEnded(self.time, attempt, newest, Outcome(cause, message), output))

    def run(self, *nodes: str) -> None:
        """Grant, start and end well."""
        for node in nodes:
            self.begin(node)
            self.succeed(node)

    def fail(self, *nodes: str) -> None:
        """Grant, start and end with an error."""
        for node in nodes:
            self.begin(node)
            self.end(node, Cause.ERROR, "boom")

    def elapse(self, node: str) -> list[Command]:
        return self.send(BackoffElapsed(self.time, NodeId(node), self[node].attempt))

    def found(self, node: str, output: Value | None = None) -> list[Command]:
        value = stored(node) if output is None else output
        return self.send(MemoFound(self.time, NodeId(node), self[node].memo_key, value, "as before"))

    def missed(self, node: str) -> list[Command]:
        return self.send(MemoMissed(self.time, NodeId(node), self[node].memo_key, "first time"))

    def expand(self, node: str, *items: Value) -> list[Command]:
        return self.send(MapExpanded(self.time, NodeId(node), items))

    def ready(self, node: str, generation: int | None = None) -> list[Command]:
        number = self[node].attempt if generation is None else generation
        return self.send(ServiceReady(self.time, NodeId(node), number, {"name": node, "revision": number}))

    def refused(self, node: str, reason: str = "no replica is ready") -> list[Command]:
        return self.send(ServiceFailed(self.time, NodeId(node), self[node].attempt, reason))

    def cancel(self, reason: str = "cancelled by a user") -> list[Command]:
        return self.send(CancelRequested(self.time, reason))

    def attempt(self, node: str) -> tuple[AttemptId, int]:
        number = self[node].attempt
        return attempt_id(RUN, NodeId(node), number), number

    def __getitem__(self, node: str) -> NodeState:
        return self.state.nodes[NodeId(node)]

    def phases(self) -> dict[str, str]:
        return {str(node): state.phase.value for node, state in self.state.nodes.items()}

    def queued(self) -> list[str]:
        return [str(node) for node, state in self.state.nodes.items() if state.phase is Phase.QUEUED]

    def launched(self, node: str) -> Launch:
        """The newest launch of a node."""
        return [c for c in self.commands if isinstance(c, Launch) and c.node == node][-1]


def only(commands: Sequence[Command], kind: type[Any]) -> Any:
    """The one command of a kind."""
    found = [command for command in commands if isinstance(command, kind)]
    assert len(found) == 1, commands
    return found[0]


def nodes_of(commands: Sequence[Command]) -> list[str]:
    """The nodes that commands are about, in order."""
    kinds = Enqueue | Launch | LookUpMemo | ReadList | StartTimer | Deploy
    return [str(command.node) for command in commands if isinstance(command, kinds)]
