"""How attempts and instances are named. Names are functions of run, node and number: no randomness."""

from __future__ import annotations

from argosy.flow.graph import NodeId
from argosy.runtime.protocol import AttemptId


def attempt_id(run: str, node: NodeId, number: int) -> AttemptId:
    return AttemptId(f"{run}:{node}:{number}")


def split_attempt_id(attempt: AttemptId) -> tuple[str, NodeId, int]:
    """(run, node, number) of an attempt. Raises ValueError for a name the engine did not give."""
    run, node, number = attempt.split(":")
    return run, NodeId(node), int(number)


def file_name(node: NodeId) -> str:
    """A node's name where it becomes a path: brackets would be patterns to the tools that glob there."""
    return node.replace("[", "@").rstrip("]")


def instance_id(node: NodeId, index: int) -> NodeId:
    """The ``index``-th instance of a mapped node. Brackets can not occur in a graph's own ids."""
    return NodeId(f"{node}[{index}]")
