"""The rules over graphs alone: as they come over HTTP, written by hand or by another program."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.errors import InvalidGraph, InvalidRequest, Problem
from argosy.flow.graph import (
    Argument,
    Arriving,
    CodeIdentity,
    Collection,
    GangRule,
    Graph,
    Literal,
    MemoizeRule,
    Node,
    NodeId,
    Reference,
    ResourceRequest,
    RetryRule,
    ServiceNode,
    SourceReference,
    StepNode,
    graph_from_json,
    graph_to_json,
)
from argosy.flow.validation import find_problems, validate
from argosy.schedule.model import Capacity

SOURCE = SourceReference(digest="0" * 64, module="flow", file="flow.py")


def step(name: str, **fields: Any) -> StepNode:
    return StepNode(
        **{
            "id": NodeId(name),
            "step": name,
            "module": "flow",
            "function": "work",
            "arguments": {},
            "output": "json",
            "code": CodeIdentity("", {}),
            "line": 7,
            **fields,
        }
    )


def service(name: str, models: Argument, **fields: Any) -> ServiceNode:
    return ServiceNode(**{"id": NodeId(name), "service": name, "models": models, **fields})


def graph(*nodes: Node, output: Argument = Literal(None), **fields: Any) -> Graph:
    return Graph(
        **{"workflow": "main", "source": SOURCE, "parameters": {}, "nodes": nodes, "output": output, **fields}
    )


def to(name: str) -> Reference:
    return Reference(NodeId(name))


MODEL = step("model", output="model")
MODELS = Collection((to("model"),))

GRAPHS: list[tuple[str, Graph, str, str]] = [
    ("no nodes", graph(), "empty", "there is nothing to run"),
    ("another version", graph(step("a"), version=9), "version", "has version 9"),
    (
        "a source that leaves its folder",
        graph(step("a"), source=SourceReference("../../etc", "flow", "flow.py")),
        "source",
        "names no snapshot",
    ),
    ("a workflow that is a path", graph(step("a"), workflow="../a"), "workflow-name", "'../a'"),
    ("a workflow with a colon", graph(step("a"), workflow="a:b"), "workflow-name", "'a:b'"),
    ("an id with a slash", graph(step("a/b")), "node-id", "can not be the id"),
    ("an id of dots", graph(step("..")), "node-id", "can not be the id"),
    ("an id that is too long", graph(step("a" * 64)), "node-id", "can not be the id"),
    ("an id with a newline", graph(step("a\n")), "node-id", "can not be the id"),
    ("an id twice", graph(step("a"), step("a"), step("a")), "duplicate-node", "3 nodes are named 'a'"),
    (
        "a cycle",
        graph(step("a", arguments={"x": to("b")}), step("b", arguments={"x": to("a")})),
        "cycle",
        "a → b → a",
    ),
    ("a node that waits for itself", graph(step("a", arguments={"x": to("a")})), "cycle", "a → a"),
    (
        "a long cycle behind a straight path",
        graph(
            step("a", arguments={"x": to("b")}),
            step("b", arguments={"x": to("c")}),
            step("c", arguments={"x": Collection((to("e"), to("d")))}),
            step("d", arguments={"x": Arriving((to("b"),))}),
            step("e"),
        ),
        "cycle",
        "b → c → d → b",
    ),
    ("nodes out of order", graph(step("a", arguments={"x": to("b")}), step("b")), "order", "comes later"),
    ("an unknown reference", graph(step("a", arguments={"x": to("b")})), "unknown-reference", "node 'b'"),
    ("an unknown output", graph(step("a"), output=to("b")), "output", "the result of 'b'"),
    (
        "a service twice",
        graph(MODEL, service("s", MODELS), service("t", MODELS, service="s")),
        "duplicate-service",
        "served twice, first at flow.py (s)",
    ),
    (
        "a service that is no label",
        graph(MODEL, service("s", MODELS, service="a.b")),
        "service-name",
        "'a.b'",
    ),
    (
        "a service name that is too long",
        graph(MODEL, service("s", MODELS, service="a" * 64)),
        "service-name",
        "a",
    ),
    ("replicas upside down", graph(MODEL, service("s", MODELS, replicas=(3, 2))), "replicas", "3 to 2"),
    ("no replicas", graph(MODEL, service("s", MODELS, replicas=(0, 0))), "replicas", "0 to 0"),
    ("an unknown aggregate", graph(MODEL, service("s", MODELS, aggregate="x")), "aggregate", "'x'"),
    ("no models", graph(service("s", Collection(()))), "models", "empty list"),
    ("literal models", graph(service("s", Literal(["cnn"]))), "models", "takes list[Model]"),
    ("models that are none", graph(step("a"), service("s", Collection((to("a"),)))), "models", "gets Any"),
    ("a missing argument", graph(step("a", parameters={"x": "int"})), "missing-argument", "'x'"),
    (
        "an unknown argument",
        graph(step("a", parameters={"epochs": "int"}, arguments={"epochs": Literal(1), "epoch": Literal(1)})),
        "unknown-argument",
        "'epoch'",
    ),
    (
        "a literal of the wrong type",
        graph(step("a", parameters={"x": "int"}, arguments={"x": Literal("5")})),
        "argument-type",
        "takes int, but gets '5'",
    ),
    (
        "a result of the wrong type",
        graph(MODEL, step("a", parameters={"x": "dataset"}, arguments={"x": to("model")})),
        "argument-type",
        "takes Dataset, but gets Model, the result of 'model'",
    ),
    (
        "a result finer than its output",
        graph(step("a", returns="str"), step("b", parameters={"x": "int"}, arguments={"x": to("a")})),
        "argument-type",
        "takes int, but gets str",
    ),
    (
        "a mapped result for one",
        graph(
            step("a", map_over="x", arguments={"x": Literal([1])}, returns="int"),
            step("b", parameters={"x": "int"}, arguments={"x": to("a")}),
        ),
        "argument-type",
        "takes int, but gets list[int]",
    ),
    ("a type that is none", graph(step("a", returns="Modell")), "type", "'Modell' is not a type"),
    (
        "a parameter type that is none",
        graph(step("a", parameters={"x": "?"}, arguments={"x": Literal(1)})),
        "type",
        "parameter 'x'",
    ),
    ("an output that is none", graph(step("a", output="yaml")), "output-type", "'yaml'"),
    (
        "an output list of lists",
        graph(step("a", output="list[list[json]]")),
        "output-type",
        "list[list[json]]",
    ),
    ("a function that is no name", graph(step("a", function="os.system")), "code", "name no function"),
    ("a module that is a path", graph(step("a", module="../flow")), "code", "name no function"),
    ("a map over nothing", graph(step("a", map_over="x")), "map", "not one of its arguments"),
    ("a map over a number", graph(step("a", map_over="x", arguments={"x": Literal(1)})), "map", "not a list"),
    (
        "a map over arriving",
        graph(step("a"), step("b", map_over="x", arguments={"x": Arriving((to("a"),))})),
        "arriving",
        "mapped over arriving",
    ),
    (
        "arriving in a list",
        graph(step("a"), step("b", arguments={"x": Collection((Arriving((to("a"),)),))})),
        "arriving",
        "inside a list",
    ),
    ("arriving of nothing", graph(step("b", arguments={"x": Arriving(())})), "arriving", "of nothing"),
    ("a gang of none", graph(step("a", gang=GangRule(0))), "gang", "0 to 0 workers"),
    ("a gang upside down", graph(step("a", gang=GangRule(2, 3))), "gang", "3 to 2 workers"),
    ("a negative cpu", graph(step("a", resources=ResourceRequest(cpu=-1))), "resources", "cpu -1"),
    ("no memory", graph(step("a", resources=ResourceRequest(memory=0))), "resources", "memory 0"),
    ("a negative gpu", graph(step("a", resources=ResourceRequest(gpu=-1))), "resources", "gpu -1"),
    ("no timeout", graph(step("a", timeout_seconds=0)), "times", "timeout 0"),
    ("no age", graph(step("a", memoize=MemoizeRule(max_age_seconds=-1))), "times", "max_age -1"),
    ("negative retries", graph(step("a", retry=RetryRule(limit=-1))), "times", "retry limit -1"),
    ("a negative backoff", graph(step("a", retry=RetryRule(backoff_seconds=-1))), "times", "backoff -1"),
    ("a shrinking backoff", graph(step("a", retry=RetryRule(factor=0.1))), "times", "retry factor 0.1"),
    ("an output that arrives", graph(step("a"), output=Arriving((to("a"),))), "output", "returns arriving"),
]


@pytest.mark.parametrize(("wrong", "rule", "said"), [c[1:] for c in GRAPHS], ids=[c[0] for c in GRAPHS])
def test_a_graph_that_breaks_a_rule_is_refused(wrong: Graph, rule: str, said: str) -> None:
    received = graph_from_json(graph_to_json(wrong))
    with pytest.raises(InvalidGraph) as caught:
        validate(received)
    (problem,) = [p for p in caught.value.problems if p.rule == rule]
    assert said in problem.message
    assert problem.hint


def test_a_problem_says_where_the_step_was_called() -> None:
    (problem,) = find_problems(graph(step("a", timeout_seconds=0)))
    assert problem.where == "flow.py:7 (a)"
    (problem,) = find_problems(graph(step("a", timeout_seconds=0, file="parts.py")))
    assert problem.where == "parts.py:7 (a)"


def test_every_problem_is_reported() -> None:
    wrong = graph(
        step("a", timeout_seconds=0, gang=GangRule(0)), step("a", arguments={"x": to("c")}), version=2
    )
    assert {p.rule for p in find_problems(wrong)} == {
        "version",
        "duplicate-node",
        "unknown-reference",
        "times",
        "gang",
    }


def test_a_graph_without_types_is_taken_at_its_word() -> None:
    validate(graph(MODEL, step("a", arguments={"x": to("model"), "y": Literal(1)})))


def test_a_good_graph_has_no_problem() -> None:
    validate(
        graph(
            MODEL,
            step("a", parameters={"x": "list[model]"}, arguments={"x": Arriving((to("model"),))}),
            service("s", Arriving((to("model"),))),
            output=to("s"),
        )
    )


MACHINE = Capacity(cpu=2, memory=4 * 2**30)
TOO_LARGE = [
    (ResourceRequest(cpu=3), 1, "asks for 3 cpu, but this machine has 2"),
    (ResourceRequest(cpu=1), 3, "asks for 3 workers × 1 cpu = 3 cpu in all, but this machine has 2"),
    (ResourceRequest(cpu=0, memory=5 * 2**30), 1, "asks for 5Gi memory, but this machine has 4Gi"),
    (
        ResourceRequest(cpu=0.5, memory=3 * 2**30),
        2,
        "asks for 2 workers × 3Gi memory = 6Gi memory in all, but this machine has 4Gi",
    ),
    (ResourceRequest(gpu=1), 1, "asks for 1 gpu, but this machine has 0"),
]


@pytest.mark.parametrize(("resources", "workers", "said"), TOO_LARGE)
def test_a_node_larger_than_the_machine_is_refused(
    resources: ResourceRequest, workers: int, said: str
) -> None:
    wrong = graph(step("a", resources=resources, gang=GangRule(workers)))
    validate(wrong)
    with pytest.raises(InvalidGraph) as caught:
        validate(wrong, MACHINE)
    assert said in caught.value.problems[0].message


def test_a_node_as_large_as_the_machine_is_welcome() -> None:
    validate(graph(step("a", resources=ResourceRequest(0.2, 2**30), gang=GangRule(4))), MACHINE)
    validate(graph(step("a", resources=ResourceRequest(0.1), gang=GangRule(20))), MACHINE)


def test_deep_nesting_is_a_problem_and_not_a_crash() -> None:
    argument: Argument = Literal(1)
    for _ in range(3000):
        argument = Collection((argument,))
    (problem,) = find_problems(graph(step("a", parameters={"x": "Any"}, arguments={"x": argument})))
    assert problem == Problem("depth", problem.message, problem.hint)


GOOD = msgspec.json.decode(graph_to_json(graph(step("a"))))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field"),
        (b'{"workflow": "\xff"}', "invalid"),
        (b'{"parameters": {"x": ' + b"[" * 100_000, "nested too deeply"),
        (msgspec.json.encode({**GOOD, "nodes": [{"type": "loop"}]}), "$.nodes[0].type"),
        (msgspec.json.encode({**GOOD, "nodes": [{**GOOD["nodes"][0], "line": "7"}]}), "$.nodes[0].line"),
        (msgspec.json.encode({**GOOD, "output": {"type": "reference"}}), "$.output"),
    ],
    ids=[
        "nothing",
        "a list",
        "no fields",
        "broken text",
        "depth",
        "an unknown kind",
        "a line as text",
        "a field",
    ],
)
def test_json_that_is_no_graph_is_an_invalid_request_that_names_the_place(text: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        graph_from_json(text)
    assert said.lower() in caught.value.message.lower()
    assert caught.value.hint
