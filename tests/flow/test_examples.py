"""The smallest examples say what their README promises."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from argosy.flow.graph import StepNode
from argosy.flow.loading import load
from argosy.flow.validation import validate
from argosy.schedule.model import Capacity

HELLO = Path(__file__).parents[2] / "examples" / "hello"


@pytest.mark.parametrize(
    ("file", "nodes", "result"),
    [
        ("hello.py", ["greet-1", "greet-2", "join"], "hello world, hello fleet"),
        ("letters.py", ["split", "count", "add"], 4),
    ],
)
def test_an_example_traces_runs_and_fits_the_smallest_machine(
    file: str, nodes: list[str], result: Any
) -> None:
    loaded = load(HELLO / file)
    graph = loaded.workflow.trace()
    validate(graph, Capacity(cpu=1, memory=2**30))
    assert [node.id for node in graph.nodes] == nodes
    assert all(isinstance(node, StepNode) and not node.preload for node in graph.nodes)
    defaults = {parameter.name: parameter.default for parameter in loaded.workflow.parameters}
    assert loaded.workflow(**defaults) == result


def test_the_steps_of_an_example_are_functions() -> None:
    with load(HELLO / "hello.py").imports():
        assert importlib.import_module("hello").greet("Ada") == "hello Ada"
