"""What a module defines at its top level, by name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from argosy.flow.sources import Import, ModuleSource, bindings

_KINDS = {ast.FunctionDef: "helper", ast.AsyncFunctionDef: "helper", ast.ClassDef: "class"}
_GUARDS_NOT_RUN = ("__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING")


@dataclass
class Definition:
    """Everything at the top level that makes a name what it is, in order."""

    kind: str
    nodes: list[ast.AST] = field(default_factory=list)


@dataclass
class Definitions:
    """``imported`` are the imports that run with the module, ``starred`` the modules taken whole."""

    named: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, Import] = field(default_factory=dict)
    imported: list[Import] = field(default_factory=list)
    starred: list[str] = field(default_factory=list)


def definitions_of(module: ModuleSource) -> Definitions:
    """The index of a module. Raises SyntaxError."""
    found = Definitions()
    _Index(module, found).visit(module.tree.body, ())
    return found


class _Index:
    def __init__(self, module: ModuleSource, found: Definitions) -> None:
        self.module = module
        self.found = found

    def visit(self, statements: Iterable[ast.stmt], guards: tuple[ast.expr, ...]) -> None:
        for statement in statements:
            self._one(statement, guards)

    def _one(self, statement: ast.stmt, guards: tuple[ast.expr, ...]) -> None:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                self._define([name], statement, guards, _KINDS[type(statement)])
                self._imports_in_class(statement)
            case ast.Import() | ast.ImportFrom():
                self._import(statement)
            case ast.If(test=test, body=body, orelse=orelse):
                if not _never_runs(test):
                    self.visit(body, (*guards, test))
                self.visit(orelse, (*guards, test))
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
                inner = [statement for handler in handlers for statement in handler.body]
                self.visit([*body, *inner, *orelse, *finalbody], guards)
            case ast.With(items=items, body=body):
                self.visit(body, (*guards, *(item.context_expr for item in items)))
            case _:
                self._define(_changed_names(statement), statement, guards, "constant")

    def _define(
        self, names: Iterable[str], statement: ast.stmt, guards: tuple[ast.expr, ...], kind: str
    ) -> None:
        for name in names:
            definition = self.found.named.setdefault(name, Definition(kind))
            definition.nodes.extend((*guards, statement))

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for name, binding in bindings(statement, self.module):
            self.found.imported.append(binding)
            if binding.attribute == "*":
                self.found.starred.append(binding.module)
            else:
                self.found.imports[name] = binding

    def _imports_in_class(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.ClassDef):
            for node in statement.body:
                self.found.imported.extend(binding for _, binding in bindings(node, self.module))


def _never_runs(test: ast.expr) -> bool:
    return ast.unparse(test) in _GUARDS_NOT_RUN


def _changed_names(statement: ast.stmt) -> Iterator[str]:
    """The names a statement sets, or whose objects it changes: ``X = 1``, ``X['a'] = 1``, ``X.append(1)``."""
    match statement:
        case ast.Assign(targets=targets):
            yield from (name for target in targets for name in _roots(target))
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            yield from _roots(target)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner))):
            yield from _roots(owner)
        case ast.For() | ast.While() | ast.Match() | ast.Delete():
            stored = (
                n.id
                for n in ast.walk(statement)
                if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
            )
            changed = (
                name
                for node in ast.walk(statement)
                if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign)
                for name in _changed_names(node)
            )
            yield from dict.fromkeys((*stored, *changed))


def _roots(target: ast.AST) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Starred(value=value):
            yield from _roots(value)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            yield from (name for element in elements for name in _roots(element))
