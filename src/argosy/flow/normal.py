"""Code reduced to what it does: the same text however it is laid out, commented, documented or annotated."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator

from argosy.flow.names import Function

IsMarker = Callable[[ast.expr], bool]

_SILENT = frozenset({"ctx", "type_comment", "kind", "type_ignores"})


def digest(parts: Iterable[str]) -> str:
    """The sha256, in hex, over texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def normal_form(node: ast.AST, is_marker: IsMarker) -> str:
    """Equal for code that behaves alike but for positions, comments, docstrings and annotations.

    ``is_marker`` tells the decorators that say how a step is run, not what it does; they are left out. The
    annotations of a class body stay, for dataclasses and the like read them; so do those of a function that
    carries another decorator.
    """
    return "".join(_Writer(is_marker).write(node))


class _Writer:
    def __init__(self, is_marker: IsMarker) -> None:
        self.is_marker = is_marker

    def write(self, value: object) -> Iterator[str]:
        match value:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self._function(value)
            case ast.ClassDef():
                yield from self._class(value)
            case ast.AnnAssign(target=target, value=given):
                yield from self._fields("Assign", {"targets": [target], "value": given} if given else {})
            case ast.AST():
                fields = {name: getattr(value, name, None) for name in value._fields if name not in _SILENT}
                yield from self._fields(type(value).__name__, fields)
            case list():
                yield "["
                for item in _statements(value):
                    yield from self.write(item)
                    yield ","
                yield "]"
            case _:
                yield f"{type(value).__name__}:{value!r}"

    def _fields(self, name: str, fields: dict[str, object]) -> Iterator[str]:
        yield f"{name}("
        for field, value in fields.items():
            # What is absent is not written: a field that a later Python adds changes nothing.
            if value is not None and value != []:
                yield f"{field}="
                yield from self.write(value)
                yield " "
        yield ")"

    def _function(self, node: Function) -> Iterator[str]:
        decorators = [d for d in node.decorator_list if not self.is_marker(d)]
        fields: dict[str, object] = {"name": node.name, "decorators": decorators, "body": node.body}
        arguments = node.args
        for field in ("posonlyargs", "args", "kwonlyargs", "vararg", "kwarg"):
            given = getattr(arguments, field)
            listed = given if isinstance(given, list) else [given] if given else []
            fields[field] = listed if decorators else [argument.arg for argument in listed]
        fields["defaults"] = arguments.defaults
        # None stands for a keyword without a default, so the position counts.
        fields["kw_defaults"] = arguments.kw_defaults
        fields["returns"] = node.returns if decorators else None
        yield from self._fields(type(node).__name__, fields)

    def _class(self, node: ast.ClassDef) -> Iterator[str]:
        fields: dict[str, object] = {
            "name": node.name,
            "bases": node.bases,
            "keywords": node.keywords,
            "decorators": [d for d in node.decorator_list if not self.is_marker(d)],
        }
        yield from self._fields("ClassDef", fields)
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                yield f"AnnAssign({ast.unparse(statement)})"
            elif not _does_nothing(statement):
                yield from self.write(statement)


def _statements(items: list[object]) -> list[object]:
    """Without statements that do nothing: docstrings, other bare constants, ``pass``, bare annotations."""
    return [item for item in items if not _does_nothing(item)]


def _does_nothing(item: object) -> bool:
    match item:
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return True
        case ast.AnnAssign(value=None):
            return True
    return False
