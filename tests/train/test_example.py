"""The main job as a graph, and the networks it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argosy.data import fashion
from argosy.flow.graph import Collection, Graph, Literal, Reference, StepNode
from argosy.flow.loading import load

from .conftest import Gangs

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion_mnist"


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Graph:
    """Traced where the data is nowhere: it is then the publishers', and fetched when the run needs it."""
    monkeypatch.delenv(fashion.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(fashion, "DEBIAN_FOLDER", tmp_path)
    return load(EXAMPLE / "fashion_mnist.py", None).workflow.trace()


def literal(node: StepNode, name: str) -> Any:
    argument = node.arguments[name]
    assert isinstance(argument, Literal)
    return argument.value


def test_the_main_job_is_ingest_three_gangs_select_and_serve(graph: Graph) -> None:
    assert [node.id for node in graph.nodes] == ["ingest", "train-1", "train-2", "train-3", "select", "serve"]
    trainings = [node for node in graph.nodes if isinstance(node, StepNode) and node.step == "train"]
    assert [literal(node, "architecture") for node in trainings] == ["cnn", "dropout", "batch_norm"]
    for node in trainings:
        assert (node.gang.workers, node.gang.min_workers) == (2, 1)
        assert node.arguments["dataset"] == Reference(graph.nodes[0].id)
        assert node.output == "model"
    select = graph.nodes[4]
    assert isinstance(select, StepNode)
    assert select.arguments["candidates"] == Collection(tuple(Reference(node.id) for node in trainings))


def test_what_the_data_holds_is_an_argument_of_ingest(graph: Graph) -> None:
    ingest = graph.nodes[0]
    assert isinstance(ingest, StepNode)
    assert "#sha256=" in literal(ingest, "source")


@pytest.mark.slow
def test_each_network_is_what_its_name_says(gangs: Gangs, tmp_path: Path) -> None:
    assert gangs("layers_of_the_example", output=tmp_path, example=EXAMPLE) == [0]
    layers = json.loads((tmp_path / "layers.json").read_text())
    assert {name for name, kinds in layers.items() if "Dropout" in kinds} == {"dropout"}
    assert {name for name, kinds in layers.items() if "BatchNormalization" in kinds} == {"batch_norm"}
