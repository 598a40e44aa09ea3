"""Which names from outside a piece of code uses, by Python's scoping rules."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Chain = tuple[str, ...]
Function = ast.FunctionDef | ast.AsyncFunctionDef
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def used_names(node: ast.AST) -> frozenset[Chain]:
    """The dotted names that ``node`` reads from the scope around it: ``("helpers", "f")`` for ``helpers.f``.

    Annotations do not count: they change nothing that runs. Names that an import inside the node binds do
    count, for they lead to the module that is imported.
    """
    return frozenset(_uses(node, frozenset()))


def chain_of(node: ast.AST) -> Chain | None:
    """``("a", "b", "c")`` for the expression ``a.b.c``; None for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(names))


def _uses(node: ast.AST, bound: frozenset[str]) -> Iterator[Chain]:
    match node:
        case ast.Name(id=name):
            if name not in bound:
                yield (name,)
        case ast.Attribute():
            yield from _attribute_uses(node, bound)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            yield from _function_uses(node, bound)
        case ast.ClassDef():
            yield from _class_uses(node, bound)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _comprehension_uses(node, bound)
        case ast.AnnAssign(target=target, value=value):
            yield from _all_uses([target, *([value] if value else [])], bound)
        case _:
            yield from _all_uses(ast.iter_child_nodes(node), bound)


def _all_uses(nodes: Iterable[ast.AST], bound: frozenset[str]) -> Iterator[Chain]:
    for node in nodes:
        yield from _uses(node, bound)


def _attribute_uses(node: ast.Attribute, bound: frozenset[str]) -> Iterator[Chain]:
    chain = chain_of(node)
    if chain is None:
        yield from _uses(node.value, bound)
    elif chain[0] not in bound:
        yield chain


def _function_uses(node: Function | ast.Lambda, bound: frozenset[str]) -> Iterator[Chain]:
    arguments = node.args
    outside: list[ast.AST] = [*arguments.defaults, *(d for d in arguments.kw_defaults if d)]
    if not isinstance(node, ast.Lambda):
        outside += node.decorator_list
    yield from _all_uses(outside, bound)
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    named = {
        argument.arg
        for argument in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *(a for a in (arguments.vararg, arguments.kwarg) if a),
        )
    }
    stored, from_outside = _bound_in(body)
    yield from _all_uses(body, (bound | named | stored) - from_outside)


def _class_uses(node: ast.ClassDef, bound: frozenset[str]) -> Iterator[Chain]:
    yield from _all_uses([*node.bases, *node.keywords, *node.decorator_list], bound)
    stored, from_outside = _bound_in(node.body)
    inside = (bound | stored) - from_outside
    for statement in node.body:
        # A method does not see the names of the class body.
        is_function = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _uses(statement, bound if is_function else inside)


def _comprehension_uses(node: ast.AST, bound: frozenset[str]) -> Iterator[Chain]:
    targets = {
        name.id
        for generator in node.generators  # type: ignore[attr-defined]
        for name in ast.walk(generator.target)
        if isinstance(name, ast.Name)
    }
    yield from _all_uses(ast.iter_child_nodes(node), bound | targets)


def _bound_in(body: Iterable[ast.AST]) -> tuple[frozenset[str], frozenset[str]]:
    """The names a scope binds, without those of inner scopes; and those it declares to be from outside."""
    stored: set[str] = set()
    outside: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                stored.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                stored.add(name)
                continue
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                stored.add(name)
            case ast.MatchMapping(rest=str(name)):
                stored.add(name)
            case ast.Global(names=names):
                outside.update(names)
            case ast.Lambda():
                continue
            case _ if isinstance(node, _COMPREHENSIONS):
                stored.update(_walrus_targets(node))
                continue
        waiting.extend(ast.iter_child_nodes(node))
    return frozenset(stored), frozenset(outside)


def _walrus_targets(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.NamedExpr):
            yield inner.target.id
