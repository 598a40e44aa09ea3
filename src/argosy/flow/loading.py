"""From a file to its workflow. The only place of this room that reads what a user names."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from argosy.errors import ArgosyError, InvalidGraph, InvalidRequest, NotFound
from argosy.flow.imports import LocalImports, check_names
from argosy.flow.locations import Location, raised_at
from argosy.flow.origin import Origin
from argosy.flow.sources import RESERVED, SourceTree
from argosy.flow.workflows import Workflow


@dataclass(frozen=True)
class LoadedWorkflow:
    """A workflow and the snapshot of its code: relative path → text, all that a worker needs to import it."""

    workflow: Workflow[..., Any]
    source_files: dict[str, str]

    def imports(self) -> AbstractContextManager[None]:
        """While it is active, the workflow's modules can be imported by name."""
        return self.workflow.origin.active()


def load(path: Path | str, workflow_name: str | None = None) -> LoadedWorkflow:
    """Import a user's file and find the workflow in it, the only one if none is named.

    The file's folder is its world: modules below it are the user's own. They are imported afresh each time,
    and ``sys.modules`` and ``sys.path`` are as before afterwards. Raises NotFound for a file or a workflow
    that is not there, InvalidRequest or InvalidGraph for one that can not be used, never what the user's
    code raised.
    """
    file = checked_file(Path(path))
    tree = SourceTree(file.parent)
    module = file.stem
    origin = Origin(tree, module, LocalImports(tree))
    with _user_errors(tree), origin.active():
        tree.add(module, file)
        check_names(tree, module)
        namespace = importlib.import_module(module)
        workflow = _find(namespace, Path(path), workflow_name)
        workflow.origin = origin
        _ = workflow.parameters
        texts = origin.texts
    return LoadedWorkflow(workflow, texts)


def checked_file(path: Path) -> Path:
    """The Python file that a user names, if it can be imported. Raises NotFound, InvalidRequest."""
    if not path.exists():
        hint = _similar_files(path) or "check the path"
        raise NotFound(f"there is no file {str(path)!r}", hint=hint)
    if path.is_dir():
        files = ", ".join(sorted(p.name for p in path.glob("*.py"))[:5])
        hint = f"name the file in it: {files}" if files else "name a Python file"
        raise InvalidRequest(f"{str(path)!r} is a folder, not a workflow file", hint=hint)
    if path.suffix != ".py":
        raise InvalidRequest(
            f"{str(path)!r} is not a Python file", hint="a workflow is written in a file that ends in .py"
        )
    if path.stem in RESERVED or "." in path.stem:
        raise InvalidRequest(
            f"{str(path)!r} can not be imported as {path.stem!r}: "
            + ("a module of Python or Argosy has that name" if path.stem in RESERVED else "it holds a dot"),
            hint=f"rename the file, for instance to my_{path.stem.replace('.', '_')}.py",
        )
    return path.resolve()


def _similar_files(path: Path) -> str:
    with contextlib.suppress(OSError):
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
        close = difflib.get_close_matches(path.name, names, n=3)
        if close:
            return f"did you mean {' or '.join(str(path.with_name(name)) for name in close)}?"
    return ""


def _find(module: ModuleType, path: Path, name: str | None) -> Workflow[..., Any]:
    found = {key: value for key, value in vars(module).items() if isinstance(value, Workflow)}
    if not found:
        raise InvalidRequest(
            f"{path} defines no workflow", hint="write @ar.workflow above the function that calls the steps"
        )
    if name is not None:
        return _named(found, path, name)
    own = {key: w for key, w in found.items() if w.function.__module__ == module.__name__}
    candidates = {id(w): key for key, w in reversed((own or found).items())}
    if len(candidates) > 1:
        names = sorted(candidates.values())
        raise InvalidRequest(
            f"{path} defines {len(names)} workflows: {', '.join(names)}",
            hint=f"name one: {path}:{names[0]}",
        )
    return found[next(iter(candidates.values()))]


def _named(found: dict[str, Workflow[..., Any]], path: Path, name: str) -> Workflow[..., Any]:
    names = {**{workflow.name: workflow for workflow in found.values()}, **found}
    if name not in names:
        close = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
        raise NotFound(
            f"{path} defines no workflow {name!r}",
            hint=f"did you mean {' or '.join(close)}?" if close else f"it defines {', '.join(sorted(found))}",
        )
    return names[name]


@contextlib.contextmanager
def _user_errors(tree: SourceTree) -> Iterator[None]:
    """Turn whatever a user's file raises into one message with its line."""
    try:
        yield
    except InvalidGraph as error:
        prefix = f"{tree.root}{os.sep}"
        problems = [replace(problem, where=problem.where.removeprefix(prefix)) for problem in error.problems]
        raise InvalidGraph(problems) from error
    except ArgosyError as error:
        if place := _place(error, tree):
            error.message = f"{place}: {error.message}"
        raise
    except SyntaxError as error:
        raise _syntax_error(error) from None
    except ImportError as error:
        raise _import_error(error, tree) from error
    except RecursionError as error:
        raise _failed(error, tree, "it is nested too deeply, or calls itself without end") from error
    except Exception as error:
        raise _failed(error, tree, "mend that line; what takes data or may fail belongs in a step") from error
    except SystemExit as error:
        hint = "put what should only run as a program under: if __name__ == '__main__':"
        raise _failed(error, tree, hint) from None


def _failed(error: BaseException, tree: SourceTree, hint: str) -> InvalidRequest:
    place = _place(error, tree)
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return InvalidRequest(f"{place}: importing the file failed: {text}", hint=hint)


def _place(error: BaseException, tree: SourceTree) -> Location | None:
    place = raised_at(error.__traceback__, tree.root)
    return place and Location(_from_here(place.file), place.line)


def _from_here(file: str) -> str:
    """A path as short as it is true: relative to the working directory when it is below."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _syntax_error(error: SyntaxError) -> InvalidRequest:
    file = _from_here(error.filename or "")
    lines = [f"{file}:{error.lineno}: {type(error).__name__}: {error.msg}"]
    if error.text:
        line = error.text.rstrip("\n")
        start = len(line) - len(line.lstrip())
        caret = max((error.offset or 1) - 1 - start, 0)
        width = 1
        if error.end_lineno == error.lineno and error.end_offset and error.offset:
            width = max(error.end_offset - error.offset, 1)
        lines += [f"    {line.strip()}", f"    {' ' * caret}{'^' * width}"]
    return InvalidRequest("\n".join(lines), hint="mend the line; it is not Python yet")


def _import_error(error: ImportError, tree: SourceTree) -> InvalidRequest:
    missing = (error.name or "").partition(".")[0]
    hint = "check the import"
    if "no known parent package" in str(error):
        hint = "a workflow file is imported by itself: write `import helpers`, not `from . import helpers`"
    elif isinstance(error, ModuleNotFoundError) and missing:
        near = difflib.get_close_matches(missing, [p.stem for p in tree.root.glob("*.py")], n=1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"install it ({Path(sys.executable).name} -m pip install {missing}), "
            f"or put {missing}.py beside the workflow"
        )
    return InvalidRequest(f"{_place(error, tree)}: importing the file failed: {error}", hint=hint)
