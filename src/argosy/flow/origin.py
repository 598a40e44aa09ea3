"""Where a workflow comes from: its file, the folder below which everything is the user's own."""

from __future__ import annotations

import contextlib
import functools
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from argosy.errors import InvalidRequest
from argosy.flow.graph import SourceReference
from argosy.flow.identity import CodeReader
from argosy.flow.imports import LocalImports
from argosy.flow.locations import definition
from argosy.flow.signatures import plain
from argosy.flow.sources import SourceTree, snapshot_digest


@dataclass
class Origin:
    """``module`` is the traced file's name below ``tree``; ``imports`` is set when the file was loaded."""

    tree: SourceTree
    module: str
    imports: LocalImports | None = None

    @functools.cached_property
    def reader(self) -> CodeReader:
        return CodeReader(self.tree)

    @functools.cached_property
    def texts(self) -> dict[str, str]:
        """The snapshot: relative path → text."""
        return self.tree.texts(self.module)

    @functools.cached_property
    def reference(self) -> SourceReference:
        source = self.tree.module(self.module)
        file = source.relative if source else self.module
        return SourceReference(digest=snapshot_digest(self.texts), module=self.module, file=file)

    def active(self) -> AbstractContextManager[None]:
        """While it is active, the workflow's own modules can be imported."""
        return self.imports.active() if self.imports else contextlib.nullcontext()

    def locate(self, function: FunctionType) -> tuple[CodeReader, str, str]:
        """Who reads a step's code, its module there, and the module a worker imports it from."""
        inner = plain(function)
        path = Path(inner.__code__.co_filename)
        if path.is_relative_to(self.tree.root):
            name = ".".join(path.relative_to(self.tree.root).with_suffix("").parts).removesuffix(".__init__")
            if self.tree.module(name) is not None:
                return self.reader, name, name
        tree, name = _tree_of(path, inner.__module__)
        tree.top = name.partition(".")[0]
        return CodeReader(tree), name, inner.__module__


def origin_of(function: FunctionType) -> Origin:
    """The origin of a workflow that was not loaded but defined by a module that is running."""
    path = Path(definition(plain(function)).file)
    return Origin(*_tree_of(path, path.stem))


def _tree_of(path: Path, module: str) -> tuple[SourceTree, str]:
    if not path.is_file():
        raise InvalidRequest(
            f"the code of {module!r} is in no file ({path})",
            hint="write the workflow and its steps into a .py file",
        )
    path = path.resolve()
    depth = module.count(".") + (path.name == "__init__.py")
    root = path.parents[depth] if depth < len(path.parents) else path.parent
    stem = path.relative_to(root).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")
    if stem != module:
        root, module = path.parent, path.stem
    tree = SourceTree(root)
    tree.add(module, path)
    return tree, module
