"""Importing the user's modules from one source tree, and leaving Python as it was."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType

from argosy.errors import InvalidRequest
from argosy.flow.sources import SourceTree


class LocalImports(importlib.abc.MetaPathFinder):
    """While active, the modules of ``tree`` can be imported, from the very texts that are hashed and sent.

    They live here, not in ``sys.modules``, while it is not active: two workflows may both have a ``helpers``.
    No bytecode is read or written, so a file changed within a second is never mistaken for the one before.
    """

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self.modules: dict[str, ModuleType] = {}
        self._depth = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Can be nested. What user code prints goes to standard error: standard output is the caller's."""
        if self._depth:
            yield
            return
        self._depth = 1
        root = str(self.tree.root)
        hidden = self._own_modules()
        self._swap(hidden, self.modules)
        sys.meta_path.insert(0, self)
        sys.path.insert(0, root)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            self._depth = 0
            with contextlib.suppress(ValueError):
                sys.path.remove(root)
            with contextlib.suppress(ValueError):
                sys.meta_path.remove(self)
            self.modules = self._own_modules()
            self._swap(self.modules, hidden)

    @staticmethod
    def _swap(out: dict[str, ModuleType], into: dict[str, ModuleType]) -> None:
        for name in out:
            sys.modules.pop(name, None)
        sys.modules.update(into)

    def _own_modules(self) -> dict[str, ModuleType]:
        tops = {entry.name.partition(".")[0] for entry in self.tree.root.iterdir()}
        candidates = {n: module for n, module in sys.modules.items() if n.partition(".")[0] in tops}
        return {name: module for name, module in candidates.items() if self._is_ours(name)}

    def _is_ours(self, name: str) -> bool:
        """Whether a module of this name would come from the tree, as a file or as a folder without one."""
        top = name.partition(".")[0]
        if not self.tree.holds(name):
            return False
        if self.tree.module(top) is not None:
            return True
        module = sys.modules.get(top)
        paths = list(getattr(module, "__path__", ()))
        return bool(paths) and all(Path(path).parent == self.tree.root for path in paths)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        source = self.tree.module(fullname)
        if source is None:
            return None
        loader = _TextLoader(fullname, str(source.path), source.text)
        spec = importlib.machinery.ModuleSpec(
            fullname, loader, origin=str(source.path), is_package=source.is_package
        )
        spec.has_location = True
        if source.is_package:
            spec.submodule_search_locations = [str(source.path.parent)]
        self.tree.executed.add(fullname)
        return spec


class _TextLoader(importlib.machinery.SourceFileLoader):
    """Runs the text it was given, whatever the file holds by now."""

    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, self.path, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        return self._text


def check_names(tree: SourceTree, module: str) -> None:
    """Refuse local modules that Python's own would hide. Raises InvalidRequest."""
    for source in tree.reachable(module).values():
        for binding in source.imports:
            top = binding.module.partition(".")[0]
            if (tree.root / f"{top}.py").is_file() and not tree.holds(top):
                raise InvalidRequest(
                    f"{tree.root / top}.py has the name of a module that Python or Argosy brings: {top!r}",
                    hint=f"rename it, for instance to my_{top}.py",
                )
