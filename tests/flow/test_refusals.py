"""What can not be a workflow: each refusal names the line and the mend."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from argosy.errors import InvalidGraph, InvalidRequest

# (what, the workflow's body, what the message says)
USES = [
    ("if", "m = ingest('a')\nif m: pass", "if, and, or"),
    ("not", "m = ingest('a')\nnot m", "if, and, or"),
    ("assert", "m = ingest('a')\nassert m", "if, and, or"),
    ("for", "m = count(1)\nfor x in m: pass", "looped over"),
    ("a comprehension", "m = count(1)\n[square(x) for x in m]", "looped over"),
    ("unpacking", "m = count(1)\na, b = m", "looped over"),
    ("a star", "m = count(1)\nprint(*m)", "looped over"),
    ("in", "m = count(1)\n1 in m", "looped over"),
    ("next", "m = count(1)\nnext(m)", "looped over"),
    ("len", "m = count(1)\nlen(m)", "has no length"),
    ("an index", "m = count(1)\nm[0]", "indexed"),
    ("a slice", "m = count(1)\nm[1:]", "indexed"),
    ("setting an item", "m = count(1)\nm[0] = 1", "indexed"),
    ("addition", "m = square(1)\nm + 1", "arithmetic"),
    ("addition from the right", "m = square(1)\n1 + m", "arithmetic"),
    ("a negative", "m = square(1)\n-m", "arithmetic"),
    ("in-place addition", "m = square(1)\nm += 1", "arithmetic"),
    ("sum", "m = square(1)\nsum([m])", "arithmetic"),
    ("equality", "m = square(1)\nm == 1", "compared"),
    ("order", "m = square(1)\nm < 1", "compared"),
    ("max", "m = square(1)\nmax(m, square(2))", "compared"),
    ("an f-string", "m = square(1)\nf'{m}'", "made a text"),
    ("str", "m = square(1)\nstr(m)", "made a text"),
    ("format", "m = square(1)\n'{}'.format(m)", "made a text"),
    ("print", "m = square(1)\nprint(m)", "made a text"),
    ("a path", "m = square(1)\nopen(m)", "made a text"),
    ("int", "m = square(1)\nint(m)", "made a number"),
    ("float", "m = square(1)\nfloat(m)", "made a number"),
    ("round", "m = square(1)\nround(m)", "made a number"),
    ("range", "m = square(1)\nrange(m)", "made a number"),
    ("an attribute", "m = train(ingest('a'))\nm.metrics", "no attribute 'metrics'"),
    ("setting an attribute", "m = train(ingest('a'))\nm.x = 1", "given an attribute 'x'"),
    ("a call", "m = square(1)\nm()", "called"),
    ("with", "m = square(1)\nwith m: pass", "with statement"),
    ("a copy", "import copy\nm = square(1); copy.copy(m)", "copied"),
    ("isinstance", "m = train(ingest('a'))\nisinstance(m, ar.Model)", "asked for its type"),
    ("match", "match train(ingest('a')):\n    case ar.Model(): pass", "asked for its type"),
]


@pytest.mark.parametrize(("body", "said"), [case[1:] for case in USES], ids=[case[0] for case in USES])
def test_a_result_can_not_be_used_before_it_is_there(project: Any, body: str, said: str) -> None:
    problem = project.problems(project.in_workflow(body))[-1]
    assert said in problem.message
    assert "known only when the workflow runs" in problem.message
    assert problem.where == f"flow.py:{project.line_of_body + 1}"
    assert problem.hint


# (what, the workflow's body, what the message says, where it stands)
ARGUMENTS = [
    (
        "a model for a dataset",
        "m = train(ingest('a'))\ntrain(m)",
        "'data' of 'train' takes Dataset, but gets Model",
    ),
    (
        "a dataset for models",
        "d = ingest('a')\nselect([d])",
        "item 0 of argument 'candidates' of 'select' takes Model",
    ),
    ("one model for a list", "m = train(ingest('a'))\nselect(m)", "takes list[Model], but gets Model"),
    (
        "a list for one",
        "m = select([train(ingest('a'))])\nar.serve('a', [m])",
        "takes Model, but gets list[Model]",
    ),
    ("an int for a str", "\ningest(5)", "'name' of 'ingest' takes str, but gets 5"),
    ("a str for an int", "\nsquare('5')", "'x' of 'square' takes int, but gets '5'"),
    ("None for an int", "\nsquare(None)", "takes int, but gets None"),
    ("a literal for a dataset", "\ntrain('a')", "takes Dataset, but gets 'a'"),
    ("a number for a list to map", "\nsquare.map(5)", "mapped over 'x', which is not a list"),
    ("a text list to map", "\nsquare.map(['a'])", "takes list[int], but gets ['a']"),
    ("one result to map", "x = square(1)\nsquare.map(x)", "takes list[int], but gets int"),
    ("a missing argument", "\ntrain()", "called without its argument 'data'"),
    ("an unknown argument", "\ningest('a', nam='b')", "no argument 'nam'"),
    ("too many arguments", "\ningest('a', 'b')", "takes 1 arguments by position, but gets 2"),
    ("an argument given twice", "\ningest('a', name='b')", "given twice"),
    ("NaN", "\ntrain(ingest('a'), epochs=float('nan'))", "nan is not a JSON number"),
    ("a set", "\nselect({1})", "is not a JSON value"),
    ("a path", "import pathlib\ningest(pathlib.Path('a'))", "is not a JSON value"),
    ("a generator", "d = ingest('a')\nselect(train(d, a) for a in 'ab')", "is not a JSON value"),
    ("a dict of results", "d = ingest('a')\nselect({'a': train(d)})", "inside a dict"),
    ("a dict of results in a list", "d = ingest('a')\nselect([{'a': train(d)}])", "inside a dict"),
    ("a step for its result", "\ntrain(ingest)", "is a step, not its result"),
    ("a text made by repr", "m = square(1)\ningest(f'{m!r}')", "text made from the result"),
    ("a text of a list of results", "m = square(1)\ningest(str([m]))", "text made from the result"),
    ("a huge int", "\nsquare(2**70)", "64 bits"),
    ("a text of a result in a list", "m = square(1)\nselect([f'{m!r}'])", "text made from the result"),
    ("broken Unicode", "\ningest('\\ud800')", "not valid Unicode"),
    ("an id that is none", "\ningest.named('a b')('a')", "can not be the id"),
    ("a name used twice", "ingest.named('x')('a')\ningest.named('x')('b')", "2 nodes are named 'x'"),
    ("no models", "\nar.serve('a', [])", "empty list"),
    ("a dataset as model", "d = ingest('a')\nar.serve('a', [d])", "takes Model, but gets Dataset"),
    (
        "one model, not in a list",
        "m = train(ingest('a'))\nar.serve('a', m)",
        "takes list[Model], but gets Model",
    ),
    (
        "a service name",
        "m = train(ingest('a'))\nar.serve('Fashion_MNIST', [m])",
        "can not be the name of a service",
    ),
    ("a service name that is none", "m = train(ingest('a'))\nar.serve(5, [m])", "'name' of 'serve': 5"),
    (
        "replicas upside down",
        "m = train(ingest('a'))\nar.serve('a', [m], replicas=(4, 1))",
        "4 to 1 replicas",
    ),
    ("no replicas", "m = train(ingest('a'))\nar.serve('a', [m], replicas=0)", "0 to 0 replicas"),
    (
        "replicas in words",
        "m = train(ingest('a'))\nar.serve('a', [m], replicas='many')",
        "'replicas' of 'serve'",
    ),
    (
        "an aggregate",
        "m = train(ingest('a'))\nar.serve('a', [m], aggregate='sum')",
        "'sum' is no way to make one answer",
    ),
    ("a dict of models", "m = train(ingest('a'))\nar.serve('a', {'m': m})", "inside a dict"),
    ("a service twice", "m = [train(ingest('a'))]; ar.serve('a', m)\nar.serve('a', m)", "is served twice"),
    ("arriving of one result", "m = count(1)\nar.arriving(m)", "arrives at once"),
    ("arriving of nothing", "\nar.arriving([])", "takes a list of results"),
    ("arriving of literals", "\nar.arriving([1])", "not the result of a step"),
    ("arriving of a list", "m = count(1)\nselect(ar.arriving([m]))", "takes Model, but gets list[int]"),
    ("a map over arriving", "x = square(1)\nsquare.map(ar.arriving([x]))", "mapped over arriving"),
    ("arriving in a list", "m = train(ingest('a'))\nselect([ar.arriving([m])])", "inside a list"),
]


@pytest.mark.parametrize(("body", "said"), [c[1:] for c in ARGUMENTS], ids=[c[0] for c in ARGUMENTS])
def test_an_argument_that_does_not_fit_is_refused(project: Any, body: str, said: str) -> None:
    problems = project.problems(project.in_workflow(body))
    (problem,) = [problem for problem in problems if said in problem.message] or [None]
    assert problem is not None, problems
    assert problem.where.startswith(f"flow.py:{project.line_of_body + body.count(chr(10))}"), problem.where
    assert problem.hint


def test_an_argument_that_does_not_fit_is_said_once(project: Any) -> None:
    for _, body, said in ARGUMENTS:
        problems = project.problems(project.in_workflow(body))
        assert len(problems) == 1, (said, problems)


# (what, the definition, what the message says)
DEFINITIONS = [
    ("a lambda", "work = ar.step(lambda x: x)", "a lambda can not be a step"),
    (
        "a nested function",
        "def outer():\n    @ar.step\n    def work() -> None: ...\nouter()",
        "inside a function",
    ),
    (
        "a closure",
        "def outer(k):\n    @ar.step\n    def work() -> int: return k\nouter(1)",
        "inside a function and captures k",
    ),
    ("a method", "class A:\n    @ar.step\n    def work(self: object) -> None: ...", "inside a class"),
    ("an async function", "@ar.step\nasync def work() -> None: ...", "is async"),
    ("a generator", "@ar.step\ndef work() -> list[int]:\n    yield 1", "is a generator"),
    ("an async generator", "@ar.step\nasync def work() -> list[int]:\n    yield 1", "is async"),
    ("*args", "@ar.step\ndef work(*args: int) -> None: ...", "takes *args"),
    ("**kwargs", "@ar.step\ndef work(**kwargs: int) -> None: ...", "takes **kwargs"),
    ("*args and **kwargs", "@ar.step\ndef work(*a: int, **k: int) -> None: ...", "takes *a and **k"),
    ("positional only", "@ar.step\ndef work(x: int, /) -> None: ...", "by position only"),
    ("a bare parameter", "@ar.step\ndef work(x, y: int) -> None: ...", "the type of x"),
    ("no return type", "@ar.step\ndef work(x: int): ...", "what it returns"),
    ("a class", "@ar.step\nclass Work: ...", "can not be a step"),
    ("a partial", "import functools\nwork = ar.step(functools.partial(print))", "can not be a step"),
    ("a builtin", "work = ar.step(len)", "can not be a step"),
    ("a step of a step", "@ar.step\n@ar.step\ndef work() -> None: ...", "can not be a step"),
    ("an async workflow", "@ar.workflow\nasync def work(): ...", "is async"),
    ("a generating workflow", "@ar.workflow\ndef work():\n    yield 1", "is a generator"),
    ("a workflow with *args", "@ar.workflow\ndef work(*args: int): ...", "takes *args"),
    ("a workflow with a bare parameter", "@ar.workflow\ndef work(x): ...", "the type of x"),
]


@pytest.mark.parametrize(("text", "said"), [c[1:] for c in DEFINITIONS], ids=[c[0] for c in DEFINITIONS])
def test_a_function_that_can_not_be_one_is_refused_where_it_is_defined(
    project: Any, text: str, said: str
) -> None:
    (problem,) = project.problems(f"import argosy as ar\n{text}\n")
    assert said in problem.message
    assert "flow.py:" in problem.where
    assert problem.hint


def test_everything_wrong_with_one_function_is_said_at_once(project: Any) -> None:
    problems = project.problems("import argosy as ar\n@ar.step\nasync def work(x, *rest): ...\n")
    assert [problem.message for problem in problems] == [
        "step 'work' is async",
        "step 'work' takes *rest",
        "step 'work' does not say the type of x",
        "step 'work' does not say what it returns",
    ]


# (what, a definition of the step work, what the message says)
TYPES = [
    ("a path", "import pathlib\n@ar.step\ndef work() -> pathlib.Path: ...", "is a path"),
    ("a set", "@ar.step\ndef work() -> set[int]: ...", "no JSON form"),
    ("a tuple of artifacts", "@ar.step\ndef work() -> tuple[ar.Model, ar.Model]: ...", "can not be stored"),
    ("a class", "class A: ...\n@ar.step\ndef work() -> A: ...", "can not be stored"),
    (
        "a parameter that is a path",
        "import pathlib\n@ar.step\ndef work(x: pathlib.Path) -> None: ...",
        "is a path",
    ),
    ("a dict of models", "@ar.step\ndef work(x: dict[str, ar.Model]) -> None: ...", "holds artifacts"),
    ("an unknown name", "@ar.step\ndef work(x: 'Unknown') -> None: ...", "can not be evaluated"),
    (
        "an import for the type checker only",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import decimal\n"
        "@ar.step\ndef work(x: 'decimal.Decimal') -> None: ...",
        "can not be evaluated",
    ),
    (
        "a hidden step",
        "@ar.step\ndef work() -> int: ...\nfirst = work\n@ar.step\ndef work() -> str: ...\nwork = first",
        None,
    ),
]


@pytest.mark.parametrize(("text", "said"), [c[1:] for c in TYPES if c[2]], ids=[c[0] for c in TYPES if c[2]])
def test_an_annotation_that_can_not_flow_is_refused_when_the_step_is_used(
    project: Any, text: str, said: str
) -> None:
    call = "work(x=None)" if "x:" in text else "work()"
    problems = project.problems(f"import argosy as ar\n{text}\n@ar.workflow\ndef main():\n    {call}\n")
    assert said in problems[0].message
    assert problems[0].where.startswith("flow.py:")
    assert problems[0].hint
    assert len([p for p in problems if p.rule == "annotation"]) == 1


def test_a_step_hidden_by_a_later_one_is_refused(project: Any) -> None:
    (problem,) = project.problems("""
        import argosy as ar
        @ar.step
        def work() -> int: ...
        first = work
        @ar.step
        def work() -> int: ...
        @ar.workflow
        def main():
            first()
        """)
    assert "no worker can find step 'work'" in problem.message


def test_a_workflow_that_calls_no_step_is_refused(project: Any) -> None:
    (problem,) = project.problems("import argosy as ar\n@ar.workflow\ndef main(): ...\n")
    assert (problem.message, problem.where) == (
        "workflow 'main' calls no step: there is nothing to run",
        "flow.py:2",
    )


def test_a_result_kept_from_another_trace_is_refused(project: Any) -> None:
    loaded = project.load("""
        import argosy as ar
        kept = []
        @ar.step
        def work(x: int) -> int: ...
        @ar.workflow
        def main():
            kept.append(work(1))
            work(kept[0])
        """)
    loaded.workflow.trace()
    with pytest.raises(InvalidGraph, match="another trace"):
        loaded.workflow.trace()


def test_a_workflow_must_return_what_it_says(project: Any) -> None:
    text = project.in_workflow("return ingest('a')").replace("def main():", "def main() -> ar.Model:")
    (problem,) = project.problems(text)
    assert problem.message == (
        "workflow 'main' says that it returns Model, but gets Dataset, the result of 'ingest'"
    )


def test_a_workflow_can_not_return_a_dict_of_results(project: Any) -> None:
    (problem,) = project.problems(project.in_workflow("return {'a': ingest('a')}"))
    assert "what workflow 'main' returns" in problem.message


def test_a_workflow_can_not_return_arriving(project: Any) -> None:
    (problem,) = project.problems(project.in_workflow("return ar.arriving([ingest('a')])"))
    assert "returns arriving" in problem.message


def test_all_problems_are_reported_at_once_in_order(project: Any) -> None:
    body = "d = ingest(5)\ntrain(train(d), 'a', 'many')\nar.serve('A', [d])\nsquare({1})"
    problems = project.problems(project.in_workflow(body))
    assert len(problems) == 6
    with pytest.raises(InvalidGraph) as caught:
        project.trace_body(body)
    text = str(caught.value)
    assert all(problem.message in text for problem in problems)


def test_what_was_wrong_before_a_fatal_use_is_reported_too(project: Any) -> None:
    problems = project.problems(project.in_workflow("d = train('a', x={1})\nif d: pass"))
    assert len(problems) == 2


def test_an_exception_in_a_workflow_is_one_message_with_its_line(project: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        project.trace_body("ingest('a')\n1 / 0")
    assert caught.value.message == (
        f"flow.py:{project.line_of_body + 1}: workflow 'main' failed while it was traced: "
        "ZeroDivisionError: division by zero"
    )


def test_an_option_that_can_not_be_says_its_line(project: Any) -> None:
    with pytest.raises(InvalidRequest, match=rf"flow.py:{project.line_of_body}: cpu -1"):
        project.trace_body("ar.Resources(cpu=-1)")


def test_a_workflow_without_end_is_stopped(project: Any) -> None:
    text = textwrap.dedent("""
        import argosy as ar
        @ar.step
        def work() -> int: ...
        @ar.workflow
        def main():
            work()
            main()
        """)
    with pytest.raises(InvalidRequest, match="RecursionError"):
        project.trace(text)


def test_a_parameter_that_only_a_step_can_make_is_refused(project: Any) -> None:
    (problem,) = project.problems("import argosy as ar\n@ar.workflow\ndef main(data: ar.Dataset): ...\n")
    assert "parameter 'data' of workflow 'main' is Dataset" in problem.message


def test_a_default_that_does_not_fit_is_refused(project: Any) -> None:
    (problem,) = project.problems("import argosy as ar\n@ar.workflow\ndef main(n: int = 'a'): ...\n")
    assert "the default of parameter 'n' takes int, but gets 'a'" in problem.message
