"""What a workflow's function becomes: nodes, ids, labels, arguments."""

from __future__ import annotations

from typing import Any

import pytest

import argosy as ar
from argosy.errors import InvalidRequest
from argosy.flow.graph import (
    Arriving,
    Collection,
    Graph,
    Literal,
    NodeId,
    Reference,
    ServiceNode,
    StepNode,
)


def ids(graph: Graph) -> list[str]:
    return [node.id for node in graph.nodes]


def step_node(graph: Graph, name: str) -> StepNode:
    (node,) = (node for node in graph.nodes if node.id == name)
    assert isinstance(node, StepNode)
    return node


def test_a_step_that_occurs_once_has_its_plain_name(project: Any) -> None:
    graph = project.trace_body("train(ingest('a'))")
    assert ids(graph) == ["ingest", "train"]
    assert step_node(graph, "train").arguments == {
        "data": Reference(NodeId("ingest")),
        "architecture": Literal("cnn"),
        "epochs": Literal(3),
    }


def test_steps_that_occur_more_than_once_are_numbered_in_order(project: Any) -> None:
    graph = project.trace_body("d = ingest('a')\nselect([train(d, a) for a in ('cnn', 'dropout')])")
    assert ids(graph) == ["ingest", "train-1", "train-2", "select"]
    assert step_node(graph, "select").arguments["candidates"] == Collection(
        (Reference(NodeId("train-1")), Reference(NodeId("train-2")))
    )


def test_a_label_tells_siblings_apart_by_the_literals_that_differ(project: Any) -> None:
    graph = project.trace_body("d = ingest('a')\nfor a in ('cnn', 'dropout'): train(d, a, 5)")
    assert [node.label for node in graph.nodes] == ["", "architecture=cnn", "architecture=dropout"]


def test_a_label_names_every_literal_that_differs_and_1_is_not_true(project: Any) -> None:
    graph = project.trace_body("d = ingest('a')\ntrain(d, 'a', 1)\ntrain(d, 'b', True)")
    assert [node.label for node in graph.nodes][1:] == [
        "architecture=a, epochs=1",
        "architecture=b, epochs=true",
    ]


def test_siblings_of_equal_literals_are_told_apart_by_what_they_take(project: Any) -> None:
    graph = project.trace_body("for n in 'ab': train(ingest(n))")
    assert [node.label for node in graph.nodes] == ["name=a", "data=ingest-1", "name=b", "data=ingest-2"]


def test_a_long_value_is_cut_in_a_label(project: Any) -> None:
    graph = project.trace_body("for n in 'ab': ingest(n * 200)")
    assert [len(node.label) for node in graph.nodes] == [len("name=") + 40] * 2


def test_named_gives_a_node_its_id_and_numbers_keep_out_of_its_way(project: Any) -> None:
    graph = project.trace_body(
        "d = ingest('a')\ntrain.named('train-1')(d)\ntrain(d)\ntrain(d, 'b')\ntrain.named('best')(d)"
    )
    assert ids(graph) == ["ingest", "train-1", "train-2", "train-3", "best"]


@pytest.mark.parametrize(
    ("name", "node_id"),
    [
        ("Train_CNN", "train_cnn"),
        ("__private", "private"),
        ("a" * 80, "a" * 63),
        ("größe", "gr-e"),
        ("Ж", "step"),
    ],
)
def test_a_step_name_is_made_safe_for_an_id(project: Any, name: str, node_id: str) -> None:
    assert project.step(f"@ar.step(name={name!r})\ndef work() -> None: ...").id in (
        node_id,
        node_id.strip("-"),
    )


def test_a_numbered_id_of_a_long_name_still_fits(project: Any) -> None:
    name = "w" * 70
    graph = project.trace(f"""
        import argosy as ar
        @ar.step
        def {name}() -> None: ...
        @ar.workflow
        def main():
            for _ in range(12): {name}()
        """)
    assert max(map(len, ids(graph))) == 63
    assert len(set(ids(graph))) == 12


def test_map_makes_one_node_over_a_list_known_only_when_it_runs(project: Any) -> None:
    graph = project.trace_body("return square.map(count(3))")
    node = step_node(graph, "square")
    ranged = step_node(project.trace_body("square.map(range(3))"), "square")
    assert ranged.arguments == {"x": Literal([0, 1, 2])}
    assert (node.map_over, node.arguments) == ("x", {"x": Reference(NodeId("count"))})
    assert graph.output == Reference(NodeId("square"))


def test_map_takes_literals_and_results_as_items_and_the_same_arguments_for_all(project: Any) -> None:
    graph = project.trace_body(
        "square.map([1, 2])\n"
        "train.map([ingest('a'), ingest('b')], 'cnn', epochs=7)\n"
        "square.map(square.map([3]))"
    )
    assert step_node(graph, "square-1").arguments == {"x": Literal([1, 2])}
    train = step_node(graph, "train")
    assert train.arguments == {
        "data": Collection((Reference(NodeId("ingest-1")), Reference(NodeId("ingest-2")))),
        "architecture": Literal("cnn"),
        "epochs": Literal(7),
    }


def test_arriving_marks_a_list_whose_items_are_used_as_they_come(project: Any) -> None:
    graph = project.trace_body("d = ingest('a')\nselect(ar.arriving([train(d, a) for a in 'ab']))")
    assert step_node(graph, "select").arguments["candidates"] == Arriving(
        (Reference(NodeId("train-1")), Reference(NodeId("train-2")))
    )


def test_serve_makes_a_service_node(project: Any) -> None:
    graph = project.trace_body(
        "d = ingest('a')\nreturn ar.serve('fashion-mnist', select([train(d)]), replicas=(1, 4))"
    )
    assert graph.nodes[-1] == ServiceNode(
        id=NodeId("serve"),
        service="fashion-mnist",
        models=Reference(NodeId("select")),
        replicas=(1, 4),
        label="fashion-mnist",
        line=graph.nodes[-1].line,
    )
    assert graph.output == Reference(NodeId("serve"))


def test_one_number_of_replicas_stands_for_both(project: Any) -> None:
    graph = project.trace_body("ar.serve('a', [train(ingest('a'))], replicas=2)")
    assert isinstance(graph.nodes[-1], ServiceNode)
    assert graph.nodes[-1].replicas == (2, 2)


def test_a_step_may_wait_for_a_service(project: Any) -> None:
    graph = project.trace("""
        import argosy as ar
        @ar.step
        def model() -> ar.Model: ...
        @ar.step
        def ask(endpoint: ar.Endpoint) -> float: ...
        @ar.workflow
        def main() -> float:
            return ask(ar.serve("a", [model()]))
        """)
    assert step_node(graph, "ask").arguments == {"endpoint": Reference(NodeId("serve"))}


def test_a_workflow_inside_a_workflow_is_inlined(project: Any) -> None:
    graph = project.load(
        """
        import argosy as ar
        @ar.step
        def one(x: int) -> int: ...
        @ar.workflow
        def inner(x: int) -> int:
            return one(one(x))
        @ar.workflow
        def outer() -> int:
            return one(inner(1))
        """,
        "outer",
    ).workflow.trace()
    assert ids(graph) == ["one-1", "one-2", "one-3"]


def test_options_become_rules_of_the_node(project: Any) -> None:
    node = project.step("""
        @ar.step(
            gang=ar.Gang(workers=2, min_workers=1), resources=ar.Resources(cpu="500m", memory="1Gi"),
            retry=ar.Retry(limit=3), memoize=ar.Memoize(max_age="1d", version="2"), timeout="30m",
            priority=5, preload=["torch"], serializer="pickle",
        )
        def work() -> object: ...
        """)
    assert (node.gang.workers, node.gang.min_workers) == (2, 1)
    assert (node.resources.cpu, node.resources.memory) == (0.5, 2**30)
    assert (node.retry.limit, node.timeout_seconds, node.priority) == (3, 1800.0, 5)
    assert node.memoize is not None
    assert (node.memoize.max_age_seconds, node.memoize.version) == (86400.0, "2")
    assert (node.preload, node.output) == (("torch",), "pickle")


def test_a_node_knows_its_line_and_its_types(project: Any) -> None:
    graph = project.trace_body("d = ingest('a')\n\ntrain(d)")
    train = step_node(graph, "train")
    assert train.line == step_node(graph, "ingest").line + 2
    assert train.parameters == {"data": "dataset", "architecture": "str", "epochs": "int"}
    assert (train.returns, train.output, train.module, train.function) == ("model", "model", "flow", "train")


def test_a_step_called_in_another_file_says_which(project: Any) -> None:
    project.write(
        "import argosy as ar\n@ar.step\ndef one() -> int: ...\ndef both():\n    return one(), one()\n",
        "parts.py",
    )
    graph = project.trace("import argosy as ar\nimport parts\n@ar.workflow\ndef main():\n    parts.both()\n")
    node = step_node(graph, "one-1")
    assert (node.file, node.line, node.module) == ("parts.py", 5, "parts")
    assert set(project.load((project.root / "flow.py").read_text()).source_files) == {"flow.py", "parts.py"}


def test_a_decorator_below_step_is_kept_and_the_step_still_found(project: Any) -> None:
    node = project.step("""
        import functools
        def loud(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)
            return wrapper

        @ar.step
        @loud
        def work(times: int = 2) -> int: ...
        """)
    assert (node.function, node.arguments) == ("work", {"times": Literal(2)})
    assert "helper loud" in node.code.parts


def test_enums_and_tuples_travel_as_json(project: Any) -> None:
    graph = project.trace("""
        import enum
        import argosy as ar
        class Color(enum.Enum):
            RED = "red"
        @ar.step
        def paint(color: Color, size: tuple[int, int] = (1, 2), scale: float = 1) -> str: ...
        @ar.workflow
        def main() -> str:
            return paint(Color.RED)
        """)
    assert step_node(graph, "paint").arguments == {
        "color": Literal("red"),
        "size": Literal([1, 2]),
        "scale": Literal(1),
    }


def test_equal_code_and_equal_values_give_an_equal_graph(project: Any) -> None:
    text = """
        import argosy as ar
        @ar.step
        def work(n: int) -> int: ...
        @ar.workflow
        def main(n: int = 1):
            work(n)
        """
    assert project.trace(text) == project.trace(text, n=1)
    assert project.trace(text) != project.trace(text, n=2)


@ar.step
def double(x: int) -> int:
    return 2 * x


@ar.step
def add(x: int, y: int = 10) -> int:
    return x + y


@ar.workflow
def sums(n: int = 3) -> list[int]:
    return add.map([double(i) for i in range(n)])


def test_outside_a_workflow_a_step_is_its_function() -> None:
    assert double(4) == 8
    assert add.map([1, 2], y=5) == [6, 7]
    assert ar.arriving([1, 2]) == [1, 2]
    assert sums() == [10, 12, 14]
    assert double.__name__ == "double"
    with pytest.raises(InvalidRequest, match="outside a workflow"):
        ar.serve("a", [])


def test_a_workflow_that_was_not_loaded_can_be_traced() -> None:
    graph = sums.trace(n=2)
    assert ids(graph) == ["double-1", "double-2", "add"]
    assert graph.source.module == "test_authoring"
    assert graph.parameters == {"n": 2}


def test_a_worker_calls_the_plain_function_unless_a_value_must_be_made_first(project: Any) -> None:
    assert double.function is double.plain
    loaded = project.load("""
        import enum
        import argosy as ar
        class Color(enum.Enum):
            RED = "red"
        @ar.step
        def paint(color: Color, size: tuple[int, int], note: str = "") -> object:
            return color, size, note
        @ar.workflow
        def main() -> object:
            return paint(Color.RED, (1, 2))
        """)
    with loaded.imports():
        import importlib

        module: Any = importlib.import_module("flow")
    result = module.paint.function(color="red", size=[1, 2], note="n")
    assert result == (module.Color.RED, (1, 2), "n")


def test_a_step_of_an_installed_library_is_followed_within_its_own_package(
    project: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path_factory.mktemp("site-packages")
    (library / "shared").mkdir()
    (library / "shared" / "__init__.py").write_text("")
    (library / "shared" / "tools.py").write_text("import other\ndef tool(): return other.x()\n")
    (library / "other.py").write_text("def x(): return 1\n")
    (library / "shared" / "steps.py").write_text(
        "import argosy as ar\nfrom .tools import tool\n"
        "@ar.step\ndef common_step() -> int:\n    return tool()\n"
    )
    monkeypatch.syspath_prepend(str(library))
    loaded = project.load(
        "import argosy as ar\nfrom shared.steps import common_step\n"
        "@ar.workflow\ndef main():\n    common_step()\n"
    )
    node = step_node(loaded.workflow.trace(), "common_step")
    assert node.module == "shared.steps"
    assert set(node.code.parts) == {
        "argosy",
        "types",
        "function common_step",
        "helper shared.tools.tool",
        "import shared.tools.other",
    }
    assert set(loaded.source_files) == {"flow.py"}


def test_a_name_for_a_node_must_be_a_text() -> None:
    with pytest.raises(InvalidRequest, match="is not a name"):
        double.named(5)  # type: ignore[arg-type]
