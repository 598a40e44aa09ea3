"""The JSON form of a graph: stable, and the whole of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from argosy.flow.graph import (
    Argument,
    Arriving,
    CodeIdentity,
    Collection,
    GangRule,
    Graph,
    Literal,
    MemoizeRule,
    NodeId,
    Reference,
    ResourceRequest,
    RetryRule,
    ServiceNode,
    SourceReference,
    StepNode,
    graph_from_json,
    graph_to_json,
    node_arguments,
    upstream,
)
from argosy.flow.render import levels, render_mermaid, render_text
from argosy.flow.validation import find_problems

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
ids = texts.map(NodeId)
references = st.builds(Reference, ids)


def tuples(items: st.SearchStrategy[Any], **sizes: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, **sizes).map(tuple)


arguments: st.SearchStrategy[Argument] = st.recursive(
    st.builds(Literal, values) | references | st.builds(Arriving, tuples(references, max_size=3)),
    lambda inner: st.builds(Collection, tuples(inner, max_size=3)),
    max_leaves=4,
)
steps = st.builds(
    StepNode,
    id=ids,
    step=texts,
    module=texts,
    function=texts,
    arguments=st.dictionaries(texts, arguments, max_size=3),
    output=texts,
    code=st.builds(CodeIdentity, texts, st.dictionaries(texts, texts, max_size=2)),
    label=texts,
    resources=st.builds(ResourceRequest, numbers, st.none() | st.integers(0, 2**60), st.integers(0, 9)),
    gang=st.builds(GangRule, st.integers(-9, 9), st.none() | st.integers(-9, 9)),
    retry=st.builds(RetryRule, st.integers(-9, 9), numbers, numbers, numbers),
    memoize=st.none() | st.builds(MemoizeRule, st.none() | numbers, texts),
    timeout_seconds=st.none() | numbers,
    map_over=st.none() | texts,
    preload=tuples(texts, max_size=2),
    line=st.integers(0, 10**6),
    priority=st.integers(-9, 9),
    file=texts,
    parameters=st.none() | st.dictionaries(texts, texts, max_size=2),
    returns=texts,
)
services = st.builds(
    ServiceNode,
    id=ids,
    service=texts,
    models=arguments,
    replicas=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    aggregate=texts,
    label=texts,
    line=st.integers(0, 10**6),
)
graphs = st.builds(
    Graph,
    workflow=texts,
    source=st.builds(SourceReference, texts, texts, texts),
    parameters=st.dictionaries(texts, values, max_size=2),
    nodes=tuples(steps | services, max_size=4),
    output=arguments,
)


@given(graphs)
def test_every_graph_comes_back_from_its_json_and_gives_the_same_bytes(graph: Graph) -> None:
    data = graph_to_json(graph)
    assert graph_from_json(data) == graph
    assert graph_to_json(graph_from_json(data)) == data


@given(graphs)
def test_no_graph_whatever_it_holds_breaks_the_rules_themselves(graph: Graph) -> None:
    for problem in find_problems(graph):
        assert problem.message


@given(arguments)
def test_upstream_names_each_node_once(argument: Argument) -> None:
    nodes = upstream(argument)
    assert len(nodes) == len(set(nodes))


GOLDEN_FILE = """
from typing import Annotated, Literal

import argosy as ar


@ar.step(memoize=ar.Memoize(max_age="14d"))
def ingest(name: str) -> ar.Dataset: ...


@ar.step(gang=ar.Gang(workers=2), resources=ar.Resources(memory="2Gi"), retry=ar.Retry(limit=3))
def train(data: ar.Dataset, architecture: str, epochs: int) -> ar.Model: ...


@ar.step
def measure(model: ar.Model, note: str = "a <b> & \\"c\\" #1") -> float: ...


@ar.step
def select(candidates: list[ar.Model], top: int = 2) -> list[ar.Model]: ...


@ar.workflow
def pictures(
    dataset: str = "digits",
    epochs: Annotated[int, "passes over the data"] = 3,
    order: Literal["best", "first"] | None = None,
) -> ar.Endpoint:
    data = ingest(dataset)
    models = [train(data, a, epochs) for a in ("cnn", "dropout")]
    measure.map(models)
    measure(models[0], note="plain")
    best = select(ar.arriving(models))
    return ar.serve("pictures", best, replicas=(1, 4))
"""


def check(path: Path, text: str) -> None:
    """Compare with the golden file; delete the file and run again to write it anew."""
    if not path.exists():
        path.write_text(text)
    assert text == path.read_text()


def test_the_json_form_is_the_golden_one(project: Any, golden: Path) -> None:
    graph = project.trace(GOLDEN_FILE, epochs=5)
    plain = msgspec.to_builtins(graph)
    for node in plain["nodes"]:
        if "code" in node:
            node["code"] = {"digest": "…", "parts": dict.fromkeys(sorted(node["code"]["parts"]), "…")}
    plain["source"]["digest"] = "…"
    check(golden / "pictures.json", json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def test_the_text_form_is_the_golden_one(project: Any, golden: Path) -> None:
    check(golden / "pictures.txt", render_text(project.trace(GOLDEN_FILE)))


def test_the_mermaid_form_is_the_golden_one(project: Any, golden: Path) -> None:
    check(golden / "pictures.mermaid", render_mermaid(project.trace(GOLDEN_FILE)))


def test_a_node_stands_one_level_below_the_last_it_waits_for(project: Any) -> None:
    rows = levels(project.trace(GOLDEN_FILE))
    level = {node.id: number for number, row in enumerate(rows) for node in row}
    for row in rows:
        for node in row:
            above = [level[n] for argument in node_arguments(node).values() for n in upstream(argument)]
            assert level[node.id] == max(above, default=-1) + 1
