"""What ``import argosy`` offers is the same whatever else the process has imported."""

from __future__ import annotations

import importlib
import subprocess
import sys

import argosy
import argosy.serve.deployment
from argosy.flow import Endpoint
from argosy.flow.graph import ServiceNode


@argosy.step
def train() -> argosy.Model:
    raise AssertionError("never runs")


@argosy.workflow
def served() -> Endpoint:
    return argosy.serve("digits", [train()], replicas=2)


def test_serve_is_a_function_also_where_the_room_of_that_name_is_imported() -> None:
    importlib.import_module("argosy.serve")
    graph = served.trace()
    assert isinstance(graph.nodes[-1], ServiceNode)
    assert graph.nodes[-1].replicas == (2, 2)


def test_every_public_name_is_there() -> None:
    for name in argosy.__all__:
        assert getattr(argosy, name) is not None


def test_importing_argosy_imports_none_of_its_rooms() -> None:
    code = "import argosy, sys; print([m for m in sys.modules if m.startswith('argosy.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
