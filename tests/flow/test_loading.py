"""From a file to its workflow: what is read, what is refused, what is left behind."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import ArgosyError, InvalidRequest, NotFound
from argosy.flow.loading import load
from argosy.flow.sources import snapshot_digest

ONE = "import argosy as ar\n@ar.step\ndef work() -> int: ...\n@ar.workflow\ndef main():\n    work()\n"


def refusal(path: Path | str, name: str | None = None) -> ArgosyError:
    with pytest.raises(ArgosyError) as caught:
        load(path, name)
    assert caught.value.exit_code == 2
    assert caught.value.hint or getattr(caught.value, "problems", None)
    return caught.value


def test_a_file_that_is_not_there_has_a_hint_of_those_that_are(project: Any) -> None:
    project.write(ONE, "fashion.py")
    error = refusal(project.root / "fashon.py")
    assert isinstance(error, NotFound)
    assert "there is no file" in error.message
    assert str(project.root / "fashion.py") in error.hint
    assert refusal(project.root / "no" / "such.py").hint == "check the path"


def test_a_folder_is_refused_with_the_files_in_it(project: Any) -> None:
    project.write(ONE)
    assert "flow.py" in refusal(project.root).hint


@pytest.mark.parametrize("name", ["flow.txt", "flow", "flow.ipynb"])
def test_a_file_that_is_not_python_is_refused(project: Any, name: str) -> None:
    assert "is not a Python file" in refusal(project.write(ONE, name)).message


@pytest.mark.parametrize("name", ["json.py", "argosy.py", "select.py", "a.b.py"])
def test_a_file_that_can_not_be_imported_by_its_name_is_refused(project: Any, name: str) -> None:
    assert "can not be imported as" in refusal(project.write(ONE, name)).message


@pytest.mark.parametrize("name", ["my-flow.py", "01_first.py", "größe.py"])
def test_a_file_with_an_unusual_name_is_welcome(project: Any, name: str) -> None:
    graph = load(project.write(ONE, name)).workflow.trace()
    assert graph.nodes[0].module == graph.source.module == Path(name).stem  # type: ignore[union-attr]


def test_a_syntax_error_is_shown_with_its_line_and_a_caret(project: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(project.root)
    path = project.write("import argosy\n\ndef main()\n    pass\n")
    assert refusal(path).message == "flow.py:3: SyntaxError: expected ':'\n    def main()\n              ^"


def test_a_syntax_error_in_an_imported_file_names_that_file(project: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(project.root)
    project.write("x = (1,\n", "helpers.py")
    error = refusal(project.write("import helpers\n" + ONE))
    assert error.message.startswith("helpers.py:1: SyntaxError: '(' was never closed")


def test_a_syntax_error_in_a_file_imported_only_inside_a_step_is_found_before_it_runs(project: Any) -> None:
    project.write("x = = 1\n", "helpers.py")
    text = ONE.replace("-> int: ...", "-> int:\n    import helpers\n    return 1")
    assert "helpers.py:1: SyntaxError" in refusal(project.write(text)).message


def test_bad_indentation_and_broken_bytes_are_one_message(project: Any) -> None:
    assert "IndentationError" in refusal(project.write("if 1:\nx = 1\n")).message
    path = project.root / "flow.py"
    path.write_bytes(b"x = '\xff'\n")
    assert "not text in the encoding" in refusal(path).message
    path.write_bytes(b"x = '\0'\n")
    assert "null bytes" in refusal(path).message
    path.write_bytes(b"# coding: latin-1\nx = '\xe9'\n")
    assert "its encoding is iso-8859-1" in refusal(path).message


def test_a_byte_order_mark_and_other_line_ends_are_welcome(project: Any) -> None:
    path = project.root / "flow.py"
    path.write_bytes(b"\xef\xbb\xbf" + ONE.replace("\n", "\r\n").encode())
    assert load(path).source_files == {"flow.py": ONE}


FAILED = "importing the file failed"
RAISES = [
    ("an exception", "x = 1\ny = 1 / 0\n", f"flow.py:2: {FAILED}: ZeroDivisionError: division by zero"),
    ("in a call", "def f():\n    raise KeyError('k')\n\nf()\n", f"flow.py:2: {FAILED}: KeyError: 'k'"),
    ("in the library", "import json\njson.loads('{')\n", f"flow.py:2: {FAILED}: JSONDecodeError"),
    ("without a text", "raise ValueError\n", f"flow.py:1: {FAILED}: ValueError"),
    ("a missing module", "import no_such_thing\n", f"flow.py:1: {FAILED}: No module named 'no_such_thing'"),
    ("a missing name", "from json import no_such_name\n", f"flow.py:1: {FAILED}: cannot import name"),
    ("a relative import", "from . import helpers\n", f"flow.py:1: {FAILED}: attempted relative import"),
    ("an exit", "import sys\nsys.exit(3)\n", f"flow.py:2: {FAILED}: SystemExit: 3"),
    ("an option that can not be", "import argosy as ar\n\nar.Gang(workers=0)\n", "flow.py:3: workers 0"),
    ("endless recursion", "def f(): f()\nf()\n", f"flow.py:1: {FAILED}: RecursionError"),
]


@pytest.mark.parametrize(("text", "said"), [c[1:] for c in RAISES], ids=[c[0] for c in RAISES])
def test_what_the_file_raises_is_one_message_with_the_users_line(
    project: Any, monkeypatch: Any, text: str, said: str
) -> None:
    monkeypatch.chdir(project.root)
    error = refusal(project.write(text))
    assert error.message.startswith(said)
    assert "Traceback" not in str(error)


def test_a_misspelt_local_module_has_a_hint(project: Any) -> None:
    project.write("", "helpers.py")
    assert "'helpers'" in refusal(project.write("import helper\n")).hint


def test_a_file_without_a_workflow_is_refused(project: Any) -> None:
    assert "defines no workflow" in refusal(project.write("x = 1\n")).message


TWO = ONE + "@ar.workflow\ndef second():\n    work()\n"


def test_of_several_workflows_one_must_be_named(project: Any) -> None:
    path = project.write(TWO)
    error = refusal(path)
    assert "defines 2 workflows: main, second" in error.message
    assert error.hint == f"name one: {path}:main"
    assert load(path, "second").workflow.name == "second"


def test_an_unknown_workflow_has_a_hint(project: Any) -> None:
    path = project.write(TWO)
    assert refusal(path, "secnd").hint == "did you mean second?"
    assert refusal(path, "xyz").hint == "it defines main, second"


def test_a_workflow_may_be_named_by_its_own_name_or_its_variable(project: Any) -> None:
    path = project.write(ONE.replace("@ar.workflow", "@ar.workflow(name='nightly')"))
    assert load(path, "nightly").workflow.name == load(path, "main").workflow.name == "nightly"


def test_an_imported_workflow_counts_only_when_the_file_has_none(project: Any) -> None:
    project.write(ONE, "parts.py")
    assert load(project.write("from parts import main\n", "a.py")).workflow.name == "main"
    both = "from parts import main\n" + ONE.replace("def main", "def own")
    assert load(project.write(both, "b.py")).workflow.name == "own"


def test_python_is_left_as_it_was(project: Any) -> None:
    project.write("", "helpers.py")
    path = project.write("import helpers\nimport colorsys\n" + ONE)
    before = (list(sys.path), list(sys.meta_path), sys.stdout)
    loaded = load(path)
    loaded.workflow.trace()
    assert (list(sys.path), list(sys.meta_path), sys.stdout) == before
    assert not {"flow", "helpers"} & sys.modules.keys()
    assert "colorsys" in sys.modules
    assert not list(project.root.rglob("__pycache__"))


def test_python_is_left_as_it_was_after_an_error(project: Any) -> None:
    project.write("1 / 0\n", "helpers.py")
    before = (list(sys.path), list(sys.meta_path))
    refusal(project.write("import helpers\n" + ONE))
    assert (list(sys.path), list(sys.meta_path)) == before
    assert not {"flow", "helpers"} & sys.modules.keys()


def test_a_module_of_the_same_name_loaded_before_is_put_back(project: Any, monkeypatch: Any) -> None:
    import types

    other = types.ModuleType("helpers")
    monkeypatch.setitem(sys.modules, "helpers", other)
    project.write("def f(): return 1\n", "helpers.py")
    loaded = load(project.write("import helpers\nassert helpers.f()\n" + ONE))
    assert sys.modules["helpers"] is other
    with loaded.imports():
        assert sys.modules["helpers"].f() == 1
    assert sys.modules["helpers"] is other


def test_the_same_file_is_fresh_each_time_even_within_a_second(project: Any) -> None:
    project.write("def f(): return 1\n", "helpers.py")
    path = project.write("import helpers\n" + ONE.replace("work()\n", "work.named(f'n{helpers.f()}')()\n"))
    first = load(path)
    project.write("def f(): return 2\n", "helpers.py")
    second = load(path)
    assert (first.workflow.trace().nodes[0].id, second.workflow.trace().nodes[0].id) == ("n1", "n2")
    assert first.workflow.trace().source.digest == snapshot_digest(first.source_files)
    assert first.source_files["helpers.py"] != second.source_files["helpers.py"]


def test_two_folders_may_each_have_their_own_helpers(project: Any) -> None:
    for folder in ("one", "two"):
        project.write(f"NAME = '{folder}'\n", f"{folder}/helpers.py")
        project.write(
            ONE.replace("    work()\n", "    import helpers\n    work.named(helpers.NAME)()\n"),
            f"{folder}/flow.py",
        )
    loaded = [load(project.root / folder / "flow.py") for folder in ("one", "two")]
    assert [one.workflow.trace().nodes[0].id for one in loaded] == ["one", "two"]


def test_what_the_file_prints_goes_to_standard_error(project: Any, capsys: Any) -> None:
    path = project.write("print('loading')\n" + ONE.replace("    work()\n", "    print('tracing'); work()\n"))
    load(path).workflow.trace()
    out, err = capsys.readouterr()
    assert (out, err) == ("", "loading\ntracing\n")


def test_the_snapshot_is_the_file_and_every_local_module_it_leads_to(project: Any) -> None:
    files = {
        "helpers.py": "import numpy, json\n",
        "lazy.py": "",
        "unused.py": "",
        "lib/__init__.py": "",
        "lib/parts.py": "from .more import x\nfrom . import beside\n",
        "lib/more.py": "x = 1\n",
        "lib/beside.py": "",
        "lib/unused.py": "",
        "space/inside.py": "",
        "plugins/__init__.py": "",
        "plugins/a.py": "",
        "venv/pyvenv.cfg": "",
        "venv/thing.py": "",
        "site-packages/other.py": "",
    }
    for name, text in files.items():
        project.write(text, name)
    text = """
        import importlib
        import helpers, lib.parts, space.inside
        importlib.import_module("plugins.a")
        import argosy as ar
        @ar.step
        def work() -> int:
            from lazy import anything
        @ar.workflow
        def main():
            work()
        """
    assert set(project.load(text).source_files) == {
        "flow.py",
        "helpers.py",
        "lazy.py",
        "lib/__init__.py",
        "lib/parts.py",
        "lib/more.py",
        "lib/beside.py",
        "space/inside.py",
        "plugins/__init__.py",
        "plugins/a.py",
    }


def test_a_snapshot_alone_is_enough_to_import_the_module(project: Any, tmp_path: Path) -> None:
    project.write("from .parts import scale\n", "lib/__init__.py")
    project.write("def scale(x): return 3 * x\n", "lib/parts.py")
    loaded = project.load("""
        import argosy as ar
        import lib
        @ar.step
        def work(x: int = 2) -> int:
            return lib.scale(x)
        @ar.workflow
        def main():
            work()
        """)
    node = loaded.workflow.trace().nodes[0]
    elsewhere = tmp_path / "elsewhere"
    for name, text in loaded.source_files.items():
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_text(text)
    program = f"import {node.module} as m; print(m.{node.function}.function(x=5))"
    environment = {
        "PYTHONPATH": f"{elsewhere}:{Path(importlib.import_module('argosy').__file__ or '').parents[1]}"
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "15\n"


def test_a_link_to_a_file_outside_the_folder_is_refused(project: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("")
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "helpers.py").symlink_to(outside)
    path = folder / "flow.py"
    path.write_text("import helpers\n" + ONE)
    assert "is a link to a file outside" in refusal(path).message


def test_a_local_module_that_python_would_hide_is_refused(project: Any) -> None:
    project.write("", "queue.py")
    error = refusal(project.write("import queue\n" + ONE))
    assert "'queue'" in error.message
    assert "my_queue.py" in error.hint


def test_equal_texts_have_equal_digests_and_no_others() -> None:
    assert snapshot_digest({"a": "b", "c": "d"}) == snapshot_digest({"c": "d", "a": "b"})
    assert snapshot_digest({"a": "bc"}) != snapshot_digest({"ab": "c"})
    assert snapshot_digest({"a": "1", "b": ""}) != snapshot_digest({"a": "1b", "": ""})


def test_an_unreadable_file_is_one_message(project: Any, monkeypatch: Any) -> None:
    path = project.write(ONE)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InvalidRequest, match="can not be read: Permission denied"):
        load(path)
