"""The user's own source files: the traced file and the modules below its folder that it imports."""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from argosy.errors import InvalidRequest

_FOREIGN_FOLDERS = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
# What a module may not be called: Python has loaded its own before any folder of ours is looked at.
RESERVED = frozenset(sys.stdlib_module_names) | {"argosy"}


@dataclass(frozen=True, slots=True)
class Import:
    """What an import statement binds a name to: a module, or ``attribute`` of it (``*`` for all)."""

    module: str
    attribute: str | None = None


@dataclass(frozen=True)
class ModuleSource:
    """One local module: ``relative`` is its path below the root, ``text`` what was read, once."""

    name: str
    path: Path
    relative: str
    text: str

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @functools.cached_property
    def tree(self) -> ast.Module:
        """Raises SyntaxError."""
        return ast.parse(self.text, str(self.path))

    @functools.cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import statement in the file, wherever it stands."""
        return tuple(binding for node in ast.walk(self.tree) for _, binding in bindings(node, self))

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


def bindings(node: ast.AST, module: ModuleSource) -> Iterator[tuple[str, Import]]:
    """The names an import statement binds; nothing for another node."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield alias.asname, Import(alias.name)
            else:
                yield alias.name.partition(".")[0], Import(alias.name.partition(".")[0])
                if "." in alias.name:
                    yield alias.name, Import(alias.name)
    elif isinstance(node, ast.ImportFrom):
        origin = absolute_module(node, module)
        for alias in node.names:
            yield alias.asname or alias.name, Import(origin, alias.name)


def absolute_module(node: ast.ImportFrom, module: ModuleSource) -> str:
    """The full name of the module in ``from .x import y``."""
    if not node.level:
        return node.module or ""
    package = module.package.split(".") if module.package else []
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


@dataclass
class SourceTree:
    """The modules below one folder, each read once, so that what is run, hashed and sent is one text.

    ``executed`` are those that were imported, which includes imports no import statement shows. ``top``
    narrows the tree to one package, where the folder holds other people's too.
    """

    root: Path
    executed: set[str] = field(default_factory=set)
    top: str = ""
    _modules: dict[str, ModuleSource | None] = field(default_factory=dict)

    def module(self, name: str) -> ModuleSource | None:
        """The local module of that name; None when it is not local. Raises InvalidRequest when unreadable."""
        if name not in self._modules:
            self._modules[name] = self._find(name)
        return self._modules[name]

    def add(self, name: str, path: Path) -> ModuleSource:
        """The module ``name`` whose file is known."""
        relative = path.relative_to(self.root).as_posix()
        module = ModuleSource(name, path, relative, read_source(path))
        self._modules[name] = module
        return module

    def holds(self, name: str) -> bool:
        """Whether a module of that name, if it is below the root at all, would be the user's own."""
        parts = name.split(".")
        if self.top and parts[0] != self.top:
            return False
        return parts[0] not in RESERVED and all(parts) and not _FOREIGN_FOLDERS & set(parts)

    def _find(self, name: str) -> ModuleSource | None:
        if not self.holds(name):
            return None
        base = self.root.joinpath(*name.split("."))
        for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if path.is_file() and self._is_own(path):
                return self.add(name, path)
        return None

    def _is_own(self, path: Path) -> bool:
        if not path.resolve().is_relative_to(self.root):
            raise InvalidRequest(
                f"{path} is a link to a file outside {self.root}",
                hint="copy the file into the workflow's folder, or install it as a package",
            )
        folders = path.relative_to(self.root).parents
        return not any((self.root / folder / "pyvenv.cfg").exists() for folder in folders)

    def reachable(self, name: str) -> dict[str, ModuleSource]:
        """The local module ``name`` and every local module it imports, directly or not, by name."""
        found: dict[str, ModuleSource] = {}
        waiting = [name, *self.executed]
        while waiting:
            module = self.module(waiting.pop())
            if module is None or module.name in found:
                continue
            found[module.name] = module
            for binding in module.imports:
                waiting.extend(_candidates(binding))
        return found

    def texts(self, name: str) -> dict[str, str]:
        """``reachable(name)`` as relative path → text: what a worker needs to import the module elsewhere."""
        return {module.relative: module.text for _, module in sorted(self.reachable(name).items())}


def _candidates(binding: Import) -> Iterator[str]:
    """The modules that an import may execute: the one named, its packages, and a submodule taken from it."""
    parts = binding.module.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])
    if binding.attribute not in (None, "*"):
        yield f"{binding.module}.{binding.attribute}"


def read_source(path: Path) -> str:
    """The text of a Python file. Raises InvalidRequest when it can not be read or decoded."""
    try:
        data = path.read_bytes()
        text = importlib.util.decode_source(data)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except OSError as error:
        raise InvalidRequest(
            f"{path} can not be read: {error.strerror}", hint="check the path and its permissions"
        ) from None
    except (UnicodeDecodeError, SyntaxError) as error:
        raise InvalidRequest(
            f"{path} is not text in the encoding it declares: {error}", hint="save the file as UTF-8"
        ) from None
    if encoding not in ("utf-8", "utf-8-sig") and not text.isascii():
        # A snapshot is written as UTF-8: Python would read it wrongly by what its first line says.
        raise InvalidRequest(
            f"{path} says that its encoding is {encoding}", hint="save it as UTF-8 and drop the coding line"
        )
    return text


def snapshot_digest(texts: dict[str, str]) -> str:
    """The sha256 over paths and texts that names a snapshot."""
    import hashlib

    digest = hashlib.sha256()
    for path, text in sorted(texts.items()):
        for part in (path, text):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
