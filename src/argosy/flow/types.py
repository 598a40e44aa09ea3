"""The types that flow from step to step, as data: they travel in a graph and need no Python objects.

They are written as Python writes annotations: ``str``, ``float | None``, ``list[model]``, ``dict[str,
int]``, ``tuple[int, int]``, ``Literal['mean', 'vote']``, ``Any``. ``bytes``, ``numpy``, ``tree``,
``dataset``, ``model`` and ``pickle`` are artifacts; ``endpoint`` is what a service yields; everything else
is JSON.
"""

from __future__ import annotations

import ast
import functools
import math
from dataclasses import dataclass

from argosy.errors import InvalidRequest

Choosable = str | int | bool | None

JSON_NAMES = frozenset({"Any", "None", "bool", "int", "float", "str"})
ARTIFACT_NAMES = frozenset({"bytes", "numpy", "tree", "dataset", "model", "pickle"})
NAMES = JSON_NAMES | ARTIFACT_NAMES | {"endpoint"}

_SHOWN = {
    "numpy": "numpy.ndarray",
    "tree": "FileTree",
    "dataset": "Dataset",
    "model": "Model",
    "pickle": "a pickled object",
    "endpoint": "Endpoint",
}
_WIDER = {"float": {"int", "bool"}, "int": {"bool"}, "tree": {"dataset", "model"}}


@dataclass(frozen=True, slots=True)
class Plain:
    """A type without parts, by its name."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Type

    def __str__(self) -> str:
        return f"list[{self.item}]"


@dataclass(frozen=True, slots=True)
class TupleOf:
    items: tuple[Type, ...]

    def __str__(self) -> str:
        return f"tuple[{', '.join(map(str, self.items))}]"


@dataclass(frozen=True, slots=True)
class DictOf:
    """Keys are always texts, as in JSON."""

    value: Type

    def __str__(self) -> str:
        return f"dict[str, {self.value}]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    values: tuple[Choosable, ...]

    def __str__(self) -> str:
        return f"Literal[{', '.join(map(repr, self.values))}]"


@dataclass(frozen=True, slots=True)
class Either:
    members: tuple[Type, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.members))


Type = Plain | ListOf | TupleOf | DictOf | Choice | Either

ANY = Plain("Any")
NONE = Plain("None")


def either(members: list[Type]) -> Type:
    """The union of types, flat and each once."""
    flat = dict.fromkeys(
        part for member in members for part in (member.members if isinstance(member, Either) else (member,))
    )
    return next(iter(flat)) if len(flat) == 1 else Either(tuple(flat))


@functools.lru_cache(maxsize=4096)
def parse_type(text: str) -> Type:
    """The type that a text names. Raises InvalidRequest for a text that names none."""
    try:
        return _from_expression(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InvalidRequest(
            f"{text[:200]!r} is not a type",
            hint="write one such as 'str', 'float | None', 'list[model]' or 'dict[str, int]'",
        ) from None


def _from_expression(node: ast.expr) -> Type:
    match node:
        case ast.Name(id=name) if name in NAMES:
            return Plain(name)
        case ast.Constant(value=None):
            return NONE
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return either([_from_expression(left), _from_expression(right)])
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return ListOf(_from_expression(item))
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), value])):
            return DictOf(_from_expression(value))
        case ast.Subscript(value=ast.Name(id="tuple"), slice=items):
            return TupleOf(tuple(_from_expression(item) for item in _elements(items)))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            return Choice(tuple(_choosable(ast.literal_eval(value)) for value in _elements(values)))
    raise ValueError("no such type")


def _elements(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _choosable(value: object) -> Choosable:
    if value is None or isinstance(value, str | int):
        return value
    raise ValueError("not a value to choose")


def is_json(type: Type) -> bool:
    """Whether every value of the type is a JSON value."""
    match type:
        case Plain(name):
            return name in JSON_NAMES
        case ListOf(item) | DictOf(item):
            return is_json(item)
        case TupleOf(parts) | Either(parts):
            return all(is_json(part) for part in parts)
        case Choice():
            return True


def accepts(target: Type, source: Type) -> bool:
    """Whether a value of type ``source`` may be given where ``target`` is expected."""
    if target in (ANY, source):
        return True
    if isinstance(source, Either):
        return all(accepts(target, member) for member in source.members)
    if isinstance(target, Either):
        return any(accepts(member, source) for member in target.members)
    if source == ANY:
        return is_json(target)
    return _accepts_one(target, source)


def _accepts_one(target: Type, source: Type) -> bool:
    match target, source:
        case Plain(wide), Plain(narrow):
            return narrow in _WIDER.get(wide, ())
        case ((Plain() | Choice()), Choice(values)):
            return all(conforms(target, value) for value in values)
        case (ListOf(item), ListOf(given)) | (DictOf(item), DictOf(given)):
            return accepts(item, given)
        case ListOf(item), TupleOf(parts):
            return all(accepts(item, part) for part in parts)
        case TupleOf(items), TupleOf(parts):
            return len(items) == len(parts) and all(map(accepts, items, parts))
    return False


def conforms(type: Type, value: object) -> bool:
    """Whether a JSON value is of a type."""
    match type:
        case Plain("Any"):
            return True
        case Plain(name):
            return _conforms_plain(name, value)
        case ListOf(item):
            return isinstance(value, list) and all(conforms(item, part) for part in value)
        case TupleOf(items):
            return isinstance(value, list) and len(value) == len(items) and all(map(conforms, items, value))
        case DictOf(item):
            return isinstance(value, dict) and all(conforms(item, part) for part in value.values())
        case Choice(values):
            return any(value == choice and value.__class__ is choice.__class__ for choice in values)
        case Either(members):
            return any(conforms(member, value) for member in members)


def _conforms_plain(name: str, value: object) -> bool:
    match name:
        case "None":
            return value is None
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int)
        case "float":
            return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        case "str":
            return isinstance(value, str)
    return False


def describe(type: Type) -> str:
    """The type as an author writes it: ``Model`` for ``model``."""
    match type:
        case Plain(name):
            return _SHOWN.get(name, name)
        case ListOf(item):
            return f"list[{describe(item)}]"
        case DictOf(value):
            return f"dict[str, {describe(value)}]"
        case TupleOf(items):
            return f"tuple[{', '.join(map(describe, items))}]"
        case Either(members):
            return " | ".join(map(describe, members))
        case Choice():
            return str(type)
