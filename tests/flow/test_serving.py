"""The options of ar.serve: taken over where they can be, refused with line and mend where they can not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.flow.graph import ServiceNode, graph_from_json, graph_to_json
from argosy.flow.service_options import (
    Access,
    Batching,
    Ensemble,
    FunctionReference,
    Release,
    ReleaseMode,
    ScaleMetric,
    Scaling,
    ServiceOptions,
    Sharding,
    Strategy,
    TierLimit,
)
from argosy.flow.service_reading import OptionReader
from argosy.flow.service_rules import faults
from argosy.flow.validation import find_problems

FUNCTIONS = """
def drop(part):
    return part

def vote(answers):
    return answers[0]

class Box:
    def method(self, part):
        return part

"""
MODEL = "m = train(ingest('a'))\n"


def service(project: Any, body: str) -> ServiceNode:
    node = project.trace(FUNCTIONS + project.in_workflow(MODEL + body)).nodes[-1]
    assert isinstance(node, ServiceNode)
    return node


def test_every_option_arrives_in_the_graph(project: Any) -> None:
    graph = project.trace(
        FUNCTIONS
        + project.in_workflow(
            MODEL + "ar.serve('a', [m, m], replicas=(0, 4), strategy='event', aggregate=vote,\n"
            "    scaling=ar.Scaling(metric='cpu', target=80, idle_seconds=5),\n"
            "    limits={'anonymous': ar.TierLimit(concurrency=2, queue=4)}, require_token=True,\n"
            "    release=ar.Release('canary', 10))"
        )
    )
    node = graph.nodes[-1]
    assert (node.replicas, node.aggregate) == ((0, 4), "function")
    options = node.options
    assert options.strategy is Strategy.EVENT
    assert options.scaling == Scaling(metric=ScaleMetric.CPU, target=80.0, idle_seconds=5.0)
    assert options.access == Access(tiers={"anonymous": TierLimit(2, 4)}, require_token=True)
    assert options.release == Release(ReleaseMode.CANARY, 10)
    assert options.ensemble.function == FunctionReference(graph.source.digest, "flow", "vote")
    assert graph_from_json(graph_to_json(graph)) == graph


def test_clean_goes_into_the_options_of_sharding(project: Any) -> None:
    node = service(
        project, "ar.serve('a', [m], strategy='sharded', sharding=ar.Sharding(rows=9), clean=drop)"
    )
    assert node.options.sharding.rows == 9
    assert node.options.sharding.clean is not None
    assert node.options.sharding.clean.function == "drop"


def test_a_service_without_options_is_written_as_before(project: Any) -> None:
    assert service(project, "ar.serve('a', [m])").options == ServiceOptions()


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ("strategy='evnt'", "strategy of 'serve': 'evnt' is not one of", "did you mean 'event'?"),
        ("scaling=ar.Scaling(metric='cpuu')", "scaling.metric of 'serve'", "did you mean 'cpu'?"),
        (
            "scaling=ar.Scaling(target='many')",
            "scaling.target of 'serve': 'many' is not a number",
            "a number",
        ),
        ("scaling={'metrik': 'cpu'}", "there is no option 'metrik' here", "did you mean 'metric'?"),
        ("scaling=7", "scaling of 'serve': 7 is not a group of options", "metric, target"),
        ("scaling=ar.Scaling(target=0)", "scaling.target of service 'a': 0 is no amount", "above 0"),
        ("batching=ar.Batching(max_batch_size=0)", "batching.max_batch_size", "from 1"),
        ("clean=drop", "sharding of service 'a': options of sharding", "strategy 'sharded'"),
        ("strategy='sharded', clean='drop'", "clean of 'serve': 'drop' is not a function", "function itself"),
        ("strategy='sharded', clean=lambda part: part", "'main.<locals>.<lambda>'", "top level"),
        ("strategy='sharded', clean=Box().method", "is not a function", "function itself"),
        ("strategy='sharded', clean=Box.method", "not at the top level", "top level"),
        ("aggregate='function'", "has no function", "name one"),
        (
            "aggregate='weighted_mean', weights=[1, 2]",
            "there are 2 weights for 1 models",
            "one weight for each",
        ),
        ("weights=[1]", "weights are given, but the aggregate is 'mean'", "weighted_mean"),
        ("limits={'Gold!': ar.TierLimit(1)}", "'Gold!' can not be the name of a tier", "'gold'"),
        ("limits={'gold': ar.TierLimit(queue=2)}", "their concurrency is not limited", "drop the queue"),
        ("release=ar.Release('canary', 100)", "100 percent can not be", "from 1 to 99"),
        ("replicas=(0, 2), strategy='sharded'", "at least one replica", "'event'"),
        ("balancing=ar.Balancing('ring_hash')", "goes by a header", "x-user"),
    ],
)
def test_what_can_not_be_is_refused_with_its_line_and_its_mend(
    project: Any, options: str, message: str, hint: str
) -> None:
    problems = project.problems(FUNCTIONS + project.in_workflow(f"{MODEL}ar.serve('a', [m], {options})"))
    (problem,) = [problem for problem in problems if message in problem.message] or [problems]
    assert hint in problem.hint
    line = FUNCTIONS.count("\n") + project.line_of_body + 1
    assert problem.where.startswith(f"flow.py:{line} ")


def test_several_mistakes_are_told_at_once(project: Any) -> None:
    problems = project.problems(
        project.in_workflow(
            f"{MODEL}ar.serve('a', [m], strategy='x', scaling=ar.Scaling(metric='y'), replicas=(3, 1))"
        )
    )
    assert len(problems) == 3


def test_a_function_of_a_module_beside_the_workflow_is_found_there(project: Any) -> None:
    project.write("def tidy(part):\n    return part\n", "helpers.py")
    text = "from helpers import tidy\n" + project.in_workflow(
        MODEL + "ar.serve('a', [m], strategy='sharded', clean=tidy)"
    )
    loaded = project.load(text)
    graph = loaded.workflow.trace()
    clean = graph.nodes[-1].options.sharding.clean
    assert clean == FunctionReference(graph.source.digest, "helpers", "tidy")
    assert "helpers.py" in loaded.source_files


def test_a_graph_from_elsewhere_may_name_no_other_snapshot(project: Any) -> None:
    graph = project.trace(FUNCTIONS + project.in_workflow(MODEL + "ar.serve('a', [m, m], aggregate=vote)"))
    text = graph_to_json(graph).decode()
    changed = graph_from_json(text.replace(graph.source.digest, "f" * 64, 1))
    problems = find_problems(changed)
    assert any("which is not the graph's own" in problem.message for problem in problems)


@pytest.mark.parametrize("models", [None, 2])
def test_the_defaults_are_possible_for_any_number_of_models(models: int | None) -> None:
    assert faults(ServiceOptions(), (1, 1), "mean", models) == []
    assert (
        faults(ServiceOptions(strategy=Strategy.SHARDED, sharding=Sharding(rows=8)), (1, 9), "mean", 1) == []
    )


NUMBER = st.one_of(st.floats(), st.integers(), st.just(10**400), st.just(-(10**400)))
ANY_OPTIONS = st.builds(
    ServiceOptions,
    strategy=st.sampled_from(Strategy),
    scaling=st.builds(Scaling, target=NUMBER, panic_threshold=NUMBER, idle_seconds=NUMBER),
    batching=st.builds(Batching, max_batch_size=NUMBER, max_wait_seconds=NUMBER),
    sharding=st.builds(Sharding, rows=NUMBER, tile=st.none() | st.tuples(NUMBER, NUMBER)),
    ensemble=st.builds(Ensemble, weights=st.lists(NUMBER).map(tuple), quorum=st.integers()),
    access=st.builds(
        Access, tiers=st.dictionaries(st.text(), st.builds(TierLimit, concurrency=NUMBER, queue=NUMBER))
    ),
    release=st.builds(Release, mode=st.sampled_from(ReleaseMode), percent=st.integers()),
)


@given(options=ANY_OPTIONS, replicas=st.tuples(st.integers(), st.integers()), aggregate=st.text())
def test_whatever_the_options_are_their_faults_can_be_told(
    options: ServiceOptions, replicas: tuple[int, int], aggregate: str
) -> None:
    for fault in faults(options, replicas, aggregate, 2):
        assert fault.place
        assert fault.message
        assert fault.hint


KEYS = st.sampled_from(
    ["strategy", "scaling", "metric", "target", "access", "tiers", "queue", "sharding", "clean", "tile", "x"]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(tree=PLAIN)
def test_whatever_is_read_as_options_gives_options_or_says_why(tree: object) -> None:
    reader = OptionReader()
    options = reader.struct(ServiceOptions, tree)
    assert isinstance(options, ServiceOptions)
    assert reader.faults or isinstance(tree, dict)
    assert all(fault.message and fault.hint for fault in reader.faults)
    faults(options, (1, 1), "mean", None)
