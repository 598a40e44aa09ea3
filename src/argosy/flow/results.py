"""Whether what a step returned is what it says it returns."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from operator import attrgetter
from types import FunctionType

from argosy.flow.annotations import Refused, from_annotation
from argosy.flow.signatures import annotations_of
from argosy.flow.types import ANY, Choice, DictOf, Either, ListOf, Plain, TupleOf, Type, describe, is_json
from argosy.flow.values import shown

_class_of = attrgetter("__class__")
_CLASSES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
}

Misfit = tuple[str, Type, object]


def misfit(function: FunctionType, result: object) -> tuple[str, str] | None:
    """(what does not fit, how to mend it) when ``result`` is not what the function's annotation says.

    Only JSON values are judged. What is no JSON value, and artifacts, are left to their serializers, which
    know better what to say.
    """
    annotation = function.__annotations__.get("return")
    if result.__class__ is annotation or result.__class__.__name__ == annotation:
        return None
    try:
        declared = from_annotation(annotations_of(function).get("return", object))
    except Refused:
        return None
    if declared == ANY or not is_json(declared):
        return None
    found = _first(declared, result, "the result")
    if found is None:
        return None
    place, type, value = found
    kind = "" if value is None else f" ({value.__class__.__name__})"
    message = f"{place} is {shown(value)}{kind}, expected {describe(type)}"
    return message, f"return {describe(declared)}, or declare what the step returns"


def _first(type: Type, value: object, place: str, depth: int = 0) -> Misfit | None:
    if isinstance(value, enum.Enum):
        value = value.value
    if type == ANY or depth > 200 or not _is_json_class(value):
        return None
    here: Misfit = (place, type, value)
    match type:
        case Plain("None"):
            return here if value is not None else None
        case Plain(name):
            return None if isinstance(value, _CLASSES.get(name, object)) else here
        case Choice(values):
            fits = any(value == choice and value.__class__ is choice.__class__ for choice in values)
            return None if fits else here
        case Either(members):
            return _of_either(members, here, depth)
        case DictOf(item):
            if not isinstance(value, dict):
                return here
            return _in_parts(((item, part, f"[{key!r}]") for key, part in value.items()), place, depth)
        case ListOf(item):
            if not isinstance(value, list | tuple):
                return here
            if isinstance(item, Plain) and {*map(_class_of, value)} <= {*_CLASSES.get(item.name, ())}:
                return None
            return _in_parts(((item, part, f"[{i}]") for i, part in enumerate(value)), place, depth)
        case TupleOf(items):
            if not isinstance(value, list | tuple) or len(value) != len(items):
                return here
            pairs = enumerate(zip(items, value, strict=True))
            return _in_parts(((item, part, f"[{i}]") for i, (item, part) in pairs), place, depth)


def _of_either(members: tuple[Type, ...], here: Misfit, depth: int) -> Misfit | None:
    place, _, value = here
    return here if all(_first(member, value, place, depth) for member in members) else None


def _in_parts(parts: Iterable[tuple[Type, object, str]], place: str, depth: int) -> Misfit | None:
    for type, part, index in parts:
        if found := _first(type, part, place + index, depth + 1):
            return found
    return None


def _is_json_class(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | tuple | dict)
