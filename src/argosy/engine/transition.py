"""One step of the core under construction: changed nodes and commands are gathered here, then frozen."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import msgspec

from argosy.engine.commands import Command
from argosy.engine.state import NodeState, Plan, RunPhase, RunState
from argosy.flow.graph import NodeId


class Transition:
    """Copies on first write, so the state it started from never changes.

    ``touched`` keeps the order in which nodes changed; ``to_consider`` holds nodes whose inputs may have
    changed, worked off by the core instead of by recursion (a chain may be thousands of nodes long).
    """

    def __init__(self, plan: Plan, state: RunState, time: float):
        self.plan = plan
        self.time = time
        self.commands: list[Command] = []
        self.touched: dict[NodeId, None] = {}
        self.to_consider: deque[NodeId] = deque()
        self._before = state
        self._nodes = state.nodes.draft()
        self.state = replace(state, nodes=self._nodes)

    def __getitem__(self, node: NodeId) -> NodeState:
        return self._nodes[node]

    def change(self, node: NodeId, **changes: Any) -> NodeState:
        changed: NodeState = msgspec.structs.replace(self._nodes[node], **changes)
        self._nodes[node] = changed
        self.touched[node] = None
        return changed

    def create(self, node: NodeId, state: NodeState) -> None:
        self._nodes[node] = state
        self.touched[node] = None

    def change_run(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def emit(self, command: Command) -> None:
        self.commands.append(command)

    def finish(self) -> RunState:
        """The state after the step: the one before it when nothing changed."""
        if not self.touched and not self.run_changed:
            return self._before
        return replace(self.state, nodes=self._nodes.finish())

    @property
    def run_changed(self) -> bool:
        before, after = self._before, self.state
        return (before.phase, before.reason, before.created_at) != (
            after.phase,
            after.reason,
            after.created_at,
        )

    @property
    def running(self) -> bool:
        return self.state.phase is RunPhase.RUNNING
