"""What a step's code is: what changes it, what does not, and which part changed."""

from __future__ import annotations

import ast
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.flow.graph import CodeIdentity, StepNode

BASE = '''
import json
import math as m
import functools as where

import argosy as ar
import helpers
from helpers import scale as scaled
from lib.deep import deepen

SEED = 7
UNUSED_SEED = 8
TABLE = {}
TABLE["a"] = 1


class Shape:
    """A shape."""
    size: int = 1

    def area(self):
        return self.size * SEED


class Unused:
    pass


def normalise(x):
    """Scale."""
    return rescale(x) / SEED


def rescale(x):
    return x * m.pi


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def unused(x):
    return x + UNUSED_SEED


@ar.step
def work(x: float = 1.0) -> float:
    """What it does."""
    # a comment
    total: float = normalise(x) + Shape().area()
    if even(3):
        total += helpers.shift(total)
    return scaled(total) + TABLE["a"] + deepen(1)


@ar.workflow
def main():
    work()
'''
HELPERS = """
OFFSET = 3
OTHER = 4

def shift(x):
    return x + OFFSET

def scale(x):
    return x

def unused(x):
    return x + OTHER
"""


def identity(
    project: Any, text: str = BASE, helpers: str = HELPERS, deep: str = "def deepen(x):\n    return x\n"
) -> CodeIdentity:
    project.write(helpers, "helpers.py")
    project.write("", "lib/__init__.py")
    project.write(deep, "lib/deep.py")
    node = project.trace(text).nodes[0]
    assert isinstance(node, StepNode)
    return node.code


def changed(before: CodeIdentity, after: CodeIdentity) -> set[str]:
    names = before.parts.keys() | after.parts.keys()
    return {name for name in names if before.parts.get(name) != after.parts.get(name)}


def test_the_parts_are_everything_the_function_leads_to(project: Any) -> None:
    assert set(identity(project).parts) == {
        "argosy",
        "types",
        "function work",
        "helper normalise",
        "helper rescale",
        "helper even",
        "helper odd",
        "class Shape",
        "constant SEED",
        "constant TABLE",
        "import m",
        "helper helpers.shift",
        "constant helpers.OFFSET",
        "helper helpers.scale",
        "helper lib.deep.deepen",
    }


SAME = [
    ("a comment", "    # a comment\n", "    # another\n    # and more\n"),
    ("a docstring", '"""What it does."""', '"""Something else."""'),
    ("no docstring", '    """What it does."""\n', ""),
    ("a helper's docstring", '    """Scale."""\n', ""),
    ("a class's docstring", '    """A shape."""\n', ""),
    ("a local annotation", "total: float = ", "total = "),
    ("a helper's annotations", "def normalise(x):", "def normalise(x: float) -> float:"),
    ("blank lines", "\n\n\ndef rescale", "\n\n\n\n\n\ndef rescale"),
    ("layout", "return rescale(x) / SEED", "return (\n        rescale(x)\n        / SEED\n    )"),
    ("quotes", 'TABLE["a"] + deepen', "TABLE['a'] + deepen"),
    ("an option of the step", "@ar.step\n", "@ar.step(retry=ar.Retry(limit=3), memoize=ar.Memoize())\n"),
    ("an unused helper", "return x + UNUSED_SEED", "return x - UNUSED_SEED"),
    ("an unused constant", "UNUSED_SEED = 8", "UNUSED_SEED = 9"),
    ("an unused class", "class Unused:\n    pass", "class Unused:\n    x = 1"),
    ("an unused import", "import json\n", ""),
    ("the workflow", "def main():\n    work()", "def main(n: int = 1):\n    work()"),
    ("an annotated constant", "SEED = 7\nUNUSED", "SEED: int = 7\nUNUSED"),
    ("the order of definitions", "SEED = 7\nUNUSED_SEED = 8\n", "UNUSED_SEED = 8\nSEED = 7\n"),
    ("the main block", "@ar.workflow", "if __name__ == '__main__':\n    SEED = 9\n\n@ar.workflow"),
]


@pytest.mark.parametrize(("old", "new"), [c[1:] for c in SAME], ids=[c[0] for c in SAME])
def test_what_changes_nothing_that_runs_keeps_the_digest(project: Any, old: str, new: str) -> None:
    assert old in BASE
    before = identity(project)
    after = identity(project, BASE.replace(old, new))
    assert changed(before, after) == set()
    assert before.digest == after.digest


DIFFERENT = [
    ("the function", "return scaled(total)", "return -scaled(total)", {"function work"}),
    ("a default", "x: float = 1.0", "x: float = 2.0", {"function work"}),
    ("the types", "-> float", "-> int", {"types"}),
    ("a helper", "return rescale(x) / SEED", "return rescale(x) * SEED", {"helper normalise"}),
    ("a helper of a helper", "x * m.pi", "x * m.e", {"helper rescale"}),
    ("a constant", "SEED = 7\nUNUSED", "SEED = 9\nUNUSED", {"constant SEED"}),
    ("a kind of constant", "SEED = 7\nUNUSED", "SEED = 7.0\nUNUSED", {"constant SEED"}),
    ("a filled table", 'TABLE["a"] = 1', 'TABLE["a"] = 2', {"constant TABLE"}),
    ("a method", "self.size * SEED", "self.size + SEED", {"class Shape"}),
    ("a field of a class", "size: int = 1", "size: float = 1", {"class Shape"}),
    ("mutual recursion", "n != 0 and", "n > 0 and", {"helper odd"}),
    ("what an import brings", "import math as m", "import cmath as m", {"import m"}),
    (
        "a decorator",
        "def rescale",
        "@where.cache\ndef rescale",
        {"helper rescale", "import where"},
    ),
    (
        "another helper for the same name",
        "from helpers import scale as scaled",
        "from helpers import unused as scaled",
        {"helper helpers.scale", "helper helpers.unused", "constant helpers.OTHER"},
    ),
    (
        "a condition around a definition",
        "SEED = 7\nUNUSED",
        "if m.pi > 3:\n    SEED = 7\nUNUSED",
        {"constant SEED"},
    ),
]


@pytest.mark.parametrize(("old", "new", "parts"), [c[1:] for c in DIFFERENT], ids=[c[0] for c in DIFFERENT])
def test_what_changes_what_runs_changes_the_digest_and_names_the_part(
    project: Any, old: str, new: str, parts: set[str]
) -> None:
    assert old in BASE
    before = identity(project)
    after = identity(project, BASE.replace(old, new))
    assert changed(before, after) == parts
    assert before.digest != after.digest


def test_a_change_in_another_file_counts_where_it_is_used(project: Any) -> None:
    before = identity(project)
    assert changed(before, identity(project, helpers=HELPERS.replace("OFFSET = 3", "OFFSET = 5"))) == {
        "constant helpers.OFFSET"
    }
    assert changed(before, identity(project, helpers=HELPERS.replace("x + OFFSET", "x - OFFSET"))) == {
        "helper helpers.shift"
    }
    assert changed(before, identity(project, helpers=HELPERS.replace("x + OTHER", "x - OTHER"))) == set()
    assert changed(before, identity(project, deep="def deepen(x):\n    return -x\n")) == {
        "helper lib.deep.deepen"
    }


REACHED = [
    (
        "a name taken from a package",
        "import lib\n",
        "lib.top(1)",
        {"lib/__init__.py": "def top(x): return 1"},
        "helper lib.top",
    ),
    (
        "a name a package takes from inside",
        "import lib\n",
        "lib.inner(1)",
        {"lib/__init__.py": "from lib.parts import inner", "lib/parts.py": "def inner(x): return 1"},
        "helper lib.parts.inner",
    ),
    (
        "a relative import",
        "from lib.parts import outer\n",
        "outer(1)",
        {
            "lib/__init__.py": "",
            "lib/parts.py": "from .more import inner\ndef outer(x): return inner(x)",
            "lib/more.py": "def inner(x): return 1",
        },
        "helper lib.more.inner",
    ),
    (
        "a relative import of a module",
        "from lib.parts import outer\n",
        "outer(1)",
        {
            "lib/__init__.py": "",
            "lib/parts.py": "from . import more\ndef outer(x): return more.inner(x)",
            "lib/more.py": "def inner(x): return 1",
        },
        "helper lib.more.inner",
    ),
    (
        "a submodule by its full name",
        "import lib.parts\n",
        "lib.parts.inner(1)",
        {"lib/__init__.py": "", "lib/parts.py": "def inner(x): return 1"},
        "helper lib.parts.inner",
    ),
    (
        "a submodule under a short name",
        "import lib.parts as p\n",
        "p.inner(1)",
        {"lib/__init__.py": "", "lib/parts.py": "def inner(x): return 1"},
        "helper lib.parts.inner",
    ),
    (
        "a folder without __init__",
        "from lib import parts\n",
        "parts.inner(1)",
        {"lib/parts.py": "def inner(x): return 1"},
        "helper lib.parts.inner",
    ),
    (
        "everything from a module",
        "from parts import *\n",
        "inner(1)",
        {"parts.py": "def inner(x): return 1"},
        "helper parts.inner",
    ),
    (
        "an import inside the step",
        "",
        "__import__ and inner(1)",
        {"parts.py": "def inner(x): return 1"},
        "helper parts.inner",
    ),
    (
        "a module passed on as a whole",
        "import parts\n",
        "repr(parts)",
        {"parts.py": "def inner(x): return 1"},
        "module parts",
    ),
    (
        "modules that import each other",
        "import one\n",
        "one.f(1)",
        {
            "one.py": "import two\ndef f(x): return two.g(x)\ndef h(x): return 1",
            "two.py": "import one\ndef g(x): return one.h(x)",
        },
        "helper one.h",
    ),
]


@pytest.mark.parametrize(
    ("line", "call", "files", "part"), [c[1:] for c in REACHED], ids=[c[0] for c in REACHED]
)
def test_helpers_are_found_however_they_are_reached(
    project: Any, line: str, call: str, files: dict[str, str], part: str
) -> None:
    inner = "from parts import inner\n    " if not line else ""
    text = f"import argosy as ar\n{line}@ar.step\ndef work() -> str:\n    {inner}return str({call})\n"

    def trace(files: dict[str, str]) -> StepNode:
        for name, content in files.items():
            project.write(content, name)
        (node,) = project.trace(f"{text}@ar.workflow\ndef main():\n    work()\n").nodes
        assert isinstance(node, StepNode)
        return node

    before = trace(files)
    after = trace({name: content.replace("return 1", "return 2") for name, content in files.items()})
    assert part in changed(before.code, after.code)
    assert {name for name in changed(before.code, after.code) if "inner" in name or "." in name} <= {part}


def test_a_name_that_is_local_is_not_the_helper_of_that_name(project: Any) -> None:
    node = project.step("""
        def total(): return 1
        def item(): return 1
        def error(): return 1
        def inside(): return 1
        def captured(): return 1

        @ar.step
        def work(total: int = 1) -> int:
            def inside(): return 1
            try:
                pass
            except ValueError as error:
                print(error)
            match total:
                case [captured]: print(captured)
            return total + sum(item for item in [1]) + inside() + (lambda item: item)(1)
        """)
    assert set(node.code.parts) == {"argosy", "types", "function work"}


def test_a_local_name_hides_a_helper_only_where_it_is_bound(project: Any) -> None:
    node = project.step("""
        def item(): return 1

        @ar.step
        def work() -> int:
            return sum([item for item in [1]]) + item()
        """)
    assert "helper item" in node.code.parts


def test_a_global_statement_leads_outside(project: Any) -> None:
    node = project.step("""
        STATE = 1

        @ar.step
        def work() -> int:
            global STATE
            STATE = 2
            return STATE
        """)
    assert "constant STATE" in node.code.parts


def test_a_step_that_calls_itself_or_another_step_is_fine(project: Any) -> None:
    node = project.step("""
        @ar.step(retry=ar.Retry(limit=1))
        def other(n: int) -> int: return n

        @ar.step
        def work(n: int = 1) -> int: return work(n - 1) if n else other(n)
        """)
    assert "helper other" in node.code.parts


PRELOADS = [
    ("nothing", "import json", "json.dumps(1)", ()),
    ("a library used", "import tensorflow as tf", "tf.zeros(1)", ("tensorflow",)),
    ("a part of a library", "from keras.layers import Dense", "Dense(1)", ("keras",)),
    ("imported inside the step", "", "__import__('x')\n    import torch.nn", ("torch",)),
    ("imported with the module", "import onnxruntime", "1", ("onnxruntime",)),
    ("through argosy.train", "from argosy.train import fit", "fit(1)", ("tensorflow",)),
    ("through argosy.train inside the step", "", "1\n    from argosy import train", ("tensorflow",)),
    ("argosy.train imported and not used", "from argosy import train", "1", ()),
    (
        "only for the type checker",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import jax",
        "1",
        (),
    ),
]


@pytest.mark.parametrize(("line", "body", "preload"), [c[1:] for c in PRELOADS], ids=[c[0] for c in PRELOADS])
def test_heavy_libraries_are_seen_without_importing_them(
    project: Any, line: str, body: str, preload: tuple[str, ...]
) -> None:
    from argosy.flow.definitions import definitions_of
    from argosy.flow.identity import CodeReader
    from argosy.flow.sources import SourceTree

    text = f"import argosy as ar\n{line}\n@ar.step\ndef work() -> None:\n    {body}\n"
    project.write(text)
    tree = SourceTree(project.root)
    module = tree.module("flow")
    assert module is not None
    assert definitions_of(module).named
    assert CodeReader(tree).identity("flow", "work", "")[1] == preload


def test_a_heavy_library_of_a_helper_counts_for_its_step_only(project: Any) -> None:
    project.write("def fit():\n    import tensorflow\n", "helpers.py")
    graph = project.trace("""
        import argosy as ar
        import helpers
        @ar.step
        def light() -> None: ...
        @ar.step
        def heavy() -> None: helpers.fit()
        @ar.workflow
        def main():
            light(); heavy()
        """)
    assert [node.preload for node in graph.nodes] == [(), ("tensorflow",)]


COMMENTS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(COMMENTS, min_size=1, max_size=5), st.integers(0, 3))
def test_comments_and_blank_lines_anywhere_keep_the_digest(
    project: Any, comments: list[str], blank: int
) -> None:
    filling = itertools.cycle(comments)
    lines = [
        f"{line}  # {next(filling)}" + "\n" * blank if line.strip() else line for line in BASE.split("\n")
    ]
    quoted = "\n".join(lines)
    if '"""' in "".join(comments):
        return
    assert identity(project, quoted).digest == identity(project).digest


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_docstring_keeps_the_digest(project: Any, doc: str) -> None:
    text = BASE.replace('"""What it does."""', repr(doc)).replace('"""Scale."""', repr(doc))
    assert identity(project, text).digest == identity(project).digest


def test_a_reprinted_program_keeps_the_digest(project: Any) -> None:
    assert identity(project, ast.unparse(ast.parse(BASE))).digest == identity(project).digest


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(), st.integers())
def test_a_constant_decides_exactly_as_far_as_it_is_used(project: Any, used: int, unused: int) -> None:
    text = BASE.replace("SEED = 7\nUNUSED_SEED = 8", f"SEED = {used}\nUNUSED_SEED = {unused}")
    assert (identity(project, text).digest == identity(project).digest) is (used == 7)
