"""What a step's code is: its function and everything of the user's own that the function leads to."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from argosy import __version__
from argosy.flow.definitions import Definitions, definitions_of
from argosy.flow.graph import CodeIdentity
from argosy.flow.names import Chain, chain_of, used_names
from argosy.flow.normal import digest, normal_form
from argosy.flow.sources import Import, ModuleSource, SourceTree, bindings

HEAVY = frozenset({"tensorflow", "keras", "torch", "jax", "onnxruntime"})
_STEP_DECORATORS = frozenset({"argosy.step", "argosy.flow.step", "argosy.flow.steps.step"})
_WHOLE = ""


class Part(NamedTuple):
    """A top-level name of a local module; the empty name is the whole module."""

    module: str
    name: str


class External(NamedTuple):
    """Something not the user's own: ``name`` is how the code calls it, ``origin`` what that is bound to."""

    name: str
    origin: str
    reached: str


@dataclass(frozen=True, slots=True)
class Analysed:
    """One part: what it is, the digest of its own code, and what it leads to."""

    kind: str
    digest: str
    parts: tuple[Part, ...]
    externals: tuple[External, ...]


class CodeReader:
    """Identities of the functions below one folder. Each part is read once, however many steps use it."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self._definitions: dict[str, Definitions] = {}
        self._analysed: dict[Part, Analysed] = {}

    def identity(self, module: str, function: str, types: str) -> tuple[CodeIdentity, tuple[str, ...]]:
        """The identity of a step's function, and the heavy libraries its process will import.

        ``types`` is the signature as graph types: part of the code, unlike how annotations are spelled.
        """
        start = Part(module, function)
        parts = {"argosy": __version__, "types": digest([types])}
        heavy = set(self._heavy_at_import(module))
        for part in self._reachable(start):
            analysed = self._analyse(part)
            prefix = f"{part.module}." if part.module != module else ""
            kind = "function" if part == start else analysed.kind
            parts[f"{kind} {prefix}{part.name}".rstrip(". ")] = analysed.digest
            for external in analysed.externals:
                heavy.update(_heavy([external.reached]))
                if external.name:
                    parts[f"import {prefix}{external.name}"] = external.origin
        whole = digest(f"{name}={value}" for name, value in sorted(parts.items()))
        return CodeIdentity(whole, parts), tuple(sorted(heavy))

    def _reachable(self, start: Part) -> list[Part]:
        found: dict[Part, None] = {}
        waiting = [start]
        while waiting:
            part = waiting.pop()
            if part not in found:
                found[part] = None
                waiting.extend(self._analyse(part).parts)
        return list(found)

    def _analyse(self, part: Part) -> Analysed:
        if part not in self._analysed:
            self._analysed[part] = self._analyse_anew(part)
        return self._analysed[part]

    def _analyse_anew(self, part: Part) -> Analysed:
        module = self._local(part.module)
        definitions = self.definitions(module)
        if part.name == _WHOLE:
            kind = "module"
            nodes: list[ast.AST] = [module.tree]
        else:
            definition = definitions.named[part.name]
            kind, nodes = definition.kind, definition.nodes
        is_marker = functools.partial(self._is_step_decorator, definitions)
        own = digest(normal_form(node, is_marker) for node in nodes)
        parts, externals = self._lead_to(nodes, module, definitions)
        return Analysed(kind, own, tuple(sorted(parts - {part})), tuple(sorted(externals)))

    def _lead_to(
        self, nodes: Iterable[ast.AST], module: ModuleSource, definitions: Definitions
    ) -> tuple[set[Part], set[External]]:
        parts: set[Part] = set()
        externals: set[External] = set()
        for node in nodes:
            inner = {name: binding for n in ast.walk(node) for name, binding in bindings(n, module)}
            for binding in inner.values():
                externals.add(External("", "", _dotted(binding)))
            for chain in used_names(self._without_markers(node, definitions)):
                for target in self._resolve(chain, module, inner):
                    if isinstance(target, Part):
                        parts.add(target)
                    elif chain[0] in inner:
                        externals.add(target._replace(name="", origin=""))
                    else:
                        externals.add(target)
        return parts, externals

    def _without_markers(self, node: ast.AST, definitions: Definitions) -> ast.AST:
        if not isinstance(node, ast.FunctionDef):
            return node
        kept = [d for d in node.decorator_list if not self._is_step_decorator(definitions, d)]
        if len(kept) == len(node.decorator_list):
            return node
        fields = {name: getattr(node, name) for name in node._fields if name != "decorator_list"}
        return ast.FunctionDef(**fields, decorator_list=kept)

    def _is_step_decorator(self, definitions: Definitions, decorator: ast.expr) -> bool:
        chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
        binding = definitions.imports.get(chain[0]) if chain else None
        if chain is None or binding is None:
            return False
        return ".".join((_dotted(binding), *chain[1:])) in _STEP_DECORATORS

    def _resolve(
        self, chain: Chain, module: ModuleSource, inner: dict[str, Import]
    ) -> Iterator[Part | External]:
        """What a dotted name of a module leads to; nothing for a builtin."""
        name, rest = chain[0], chain[1:]
        definitions = self.definitions(module)
        if name in inner:
            yield from self._follow(name, inner[name], rest, frozenset())
            return
        if name in definitions.named:
            yield Part(module.name, name)
        if name in definitions.imports:
            yield from self._follow(name, definitions.imports[name], rest, frozenset())
        elif name not in definitions.named:
            yield from self._through_stars(name, rest, definitions, frozenset())

    def _follow(
        self, alias: str, binding: Import, rest: Chain, seen: frozenset[Import]
    ) -> Iterator[Part | External]:
        path = (*(() if binding.attribute is None else (binding.attribute,)), *rest)
        module = self.tree.module(binding.module)
        if module is not None:
            yield from self._in_module(alias, module, path, seen | {binding})
        elif path and self._is_below(f"{binding.module}.{path[0]}"):
            yield from self._follow(alias, Import(f"{binding.module}.{path[0]}"), path[1:], seen | {binding})
        else:
            yield External(alias, _dotted(binding), ".".join((binding.module, *path)))

    def _in_module(
        self, alias: str, module: ModuleSource, path: Chain, seen: frozenset[Import]
    ) -> Iterator[Part | External]:
        definitions = self.definitions(module)
        name, rest = (path[0], path[1:]) if path else ("", ())
        next_import = definitions.imports.get(name)
        if name in definitions.named:
            yield Part(module.name, name)
        elif next_import is not None and next_import not in seen:
            yield from self._follow(alias, next_import, rest, seen)
        elif name and self._is_below(f"{module.name}.{name}"):
            yield from self._follow(alias, Import(f"{module.name}.{name}"), rest, seen)
        else:
            starred = list(self._through_stars(name, rest, definitions, seen)) if name else []
            yield from starred or [Part(module.name, _WHOLE)]

    def _through_stars(
        self, name: str, rest: Chain, definitions: Definitions, seen: frozenset[Import]
    ) -> Iterator[Part | External]:
        for starred in definitions.starred:
            module = self.tree.module(starred)
            binding = Import(starred, name)
            if module is None or binding in seen:
                continue
            inner = self.definitions(module)
            if name in inner.named or name in inner.imports or inner.starred:
                yield from self._follow(name, binding, rest, seen)

    def _is_below(self, name: str) -> bool:
        """Whether a dotted name is a local module, or a folder that may hold one."""
        if self.tree.module(name) is not None:
            return True
        folder = self.tree.root.joinpath(*name.split("."))
        return self.tree.holds(name) and folder.is_dir()

    def definitions(self, module: ModuleSource) -> Definitions:
        if module.name not in self._definitions:
            self._definitions[module.name] = definitions_of(module)
        return self._definitions[module.name]

    def _local(self, name: str) -> ModuleSource:
        module = self.tree.module(name)
        assert module is not None, f"{name} was found to be local before"
        return module

    def _heavy_at_import(self, module: str) -> Iterator[str]:
        """The heavy libraries that importing the module imports, through local modules too.

        ``argosy.train`` is none of them: it imports its own when it is used.
        """
        waiting, seen = [module], set[str]()
        while waiting:
            name = waiting.pop()
            source = self.tree.module(name)
            if source is None or name in seen:
                continue
            seen.add(name)
            for binding in self.definitions(source).imported:
                if binding.module.partition(".")[0] in HEAVY:
                    yield binding.module.partition(".")[0]
                waiting.extend((binding.module, _dotted(binding)))


def _dotted(binding: Import) -> str:
    return f"{binding.module}.{binding.attribute}" if binding.attribute else binding.module


def _heavy(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        top = name.partition(".")[0]
        if top in HEAVY:
            yield top
        elif name == "argosy.train" or name.startswith("argosy.train."):
            yield "tensorflow"
