"""What the tests of this room share: a folder with a user's files in it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import InvalidGraph, Problem
from argosy.flow.graph import Graph, StepNode
from argosy.flow.loading import LoadedWorkflow, load

HEADER = """\
import argosy as ar

@ar.step
def ingest(name: str) -> ar.Dataset: ...

@ar.step
def train(data: ar.Dataset, architecture: str = "cnn", epochs: int = 3) -> ar.Model: ...

@ar.step
def select(candidates: list[ar.Model], top: int = 2) -> list[ar.Model]: ...

@ar.step
def count(n: int) -> list[int]: ...

@ar.step
def square(x: int) -> int:
    return x * x

"""


class Project:
    """A user's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, text: str, name: str = "flow.py") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def load(self, text: str, workflow: str | None = None) -> LoadedWorkflow:
        return load(self.write(text), workflow)

    def trace(self, text: str, **parameters: Any) -> Graph:
        return self.load(text).workflow.trace(**parameters)

    @property
    def line_of_body(self) -> int:
        """Where the first line of the body given to :meth:`in_workflow` stands."""
        return HEADER.count("\n") + 3

    def in_workflow(self, body: str) -> str:
        """A file whose workflow has this body, over the steps of HEADER."""
        return f"{HEADER}@ar.workflow\ndef main():\n{textwrap.indent(textwrap.dedent(body), '    ')}"

    def trace_body(self, body: str, **parameters: Any) -> Graph:
        """Trace a workflow with this body."""
        return self.trace(self.in_workflow(body), **parameters)

    def step(self, text: str, name: str = "work") -> StepNode:
        """The node of a step without arguments that this text defines."""
        graph = self.trace(
            f"import argosy as ar\n{textwrap.dedent(text)}\n@ar.workflow\ndef main():\n    {name}()\n"
        )
        (node,) = graph.nodes
        assert isinstance(node, StepNode)
        return node

    def problems(self, text: str, **parameters: Any) -> tuple[Problem, ...]:
        with pytest.raises(InvalidGraph) as caught:
            self.trace(text, **parameters)
        return caught.value.problems


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def golden() -> Path:
    return Path(__file__).parent / "golden"
