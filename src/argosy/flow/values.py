"""Values given in a workflow, as JSON; and texts from a command line, as values."""

from __future__ import annotations

import enum
import json
import math
import os
from typing import Any

from argosy.flow.annotations import Refused
from argosy.flow.types import Choice, DictOf, Either, ListOf, Plain, TupleOf, Type, conforms, describe

# How the result of a step shows itself; a text that holds it was made from one.
RESULT_MARK = "<the result of step "

_TRUE = frozenset({"true", "yes", "1", "on"})
_FALSE = frozenset({"false", "no", "0", "off"})
_LARGEST_INT = 2**63 - 1
_SMALLEST_INT = -(2**63)


def to_json(value: Any) -> Any:
    """``value`` as JSON: enums by their value, tuples as lists. Raises Refused for what has no such form."""
    match value:
        case enum.Enum():
            return to_json(value.value)
        case None | bool():
            return value
        case str():
            return _checked_text(value)
        case int():
            return _checked_int(value)
        case float():
            return _checked_float(value)
        case list() | tuple() | range():
            return [to_json(item) for item in value]
        case dict():
            return {_checked_key(key): to_json(item) for key, item in value.items()}
    raise Refused(f"{shown(value)} ({type(value).__name__}) is not a JSON value", _mend(value))


def _checked_text(value: str) -> str:
    if RESULT_MARK in value:
        raise Refused(
            f"{shown(value)} is a text made from the result of a step, which is not known yet",
            "pass the result itself, and build the text inside the step",
        )
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        raise Refused(f"{shown(value)} is not valid Unicode", "pass text, or let a step make bytes") from None
    return str(value)


def _checked_int(value: int) -> int:
    if _SMALLEST_INT <= value <= _LARGEST_INT:
        return int(value)
    raise Refused(f"{shown(value)} does not fit in 64 bits", "pass it as a text")


def _checked_float(value: float) -> float:
    if math.isfinite(value):
        return float(value)
    raise Refused(f"{value!r} is not a JSON number", "pass None, or a finite number")


def _checked_key(key: object) -> str:
    if isinstance(key, str):
        return key
    raise Refused(f"the key {shown(key)} is not a text", "JSON has text keys only: write str(key)")


def _mend(value: object) -> str:
    if isinstance(value, os.PathLike):
        return "pass str(path), or let a step read the file and return ar.FileTree"
    if isinstance(value, set | frozenset):
        return "pass sorted(...), which is a list"
    if isinstance(value, bytes | bytearray):
        return "let a step make the bytes and pass its result"
    if hasattr(value, "tolist"):
        return "pass value.tolist(), or let a step make the array"
    if hasattr(value, "__next__") or hasattr(value, "__len__"):
        return "pass a list: list(...)"
    return "pass JSON values, or let a step make the object"


def shown(value: object) -> str:
    """``value`` in a message: short, whatever it is."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


def parse_text(text: str, type: Type) -> Any:
    """The JSON value of ``type`` that a person wrote. Raises ValueError when it is none."""
    match type:
        case Plain(name):
            return _parse_plain(text, name)
        case Choice(values):
            return _parse_choice(text, values)
        case ListOf() | TupleOf():
            return _parse_list(text, type)
        case DictOf():
            return _checked(_from_json(text), type)
        case Either(members):
            return _parse_either(text, members)


def _parse_plain(text: str, name: str) -> Any:
    match name:
        case "str":
            return text
        case "int":
            return _checked_int(int(text))
        case "float":
            return _finite(float(text))
        case "bool":
            return _parse_bool(text)
        case "None" if text.strip().lower() in ("none", "null"):
            return None
        case "Any":
            return _json_or_text(text)
    raise ValueError(text)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value


def _parse_bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _parse_choice(text: str, values: tuple[Any, ...]) -> Any:
    for value in values:
        if text == str(value) or (isinstance(value, bool | None) and text.lower() == str(value).lower()):
            return value
    raise ValueError(text)


def _parse_list(text: str, type: ListOf | TupleOf) -> Any:
    if text.lstrip().startswith("["):
        return _checked(_from_json(text), type)
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if isinstance(type, ListOf):
        return [parse_text(part, type.item) for part in parts]
    return [parse_text(part, item) for part, item in zip(parts, type.items, strict=True)]


def _parse_either(text: str, members: tuple[Type, ...]) -> Any:
    # A text fits `str` whatever it says, so the other members are asked first.
    for member in sorted(members, key=lambda member: member == Plain("str")):
        try:
            return parse_text(text, member)
        except (ValueError, Refused):
            continue
    raise ValueError(text)


def _json_or_text(text: str) -> Any:
    try:
        return _from_json(text)
    except ValueError:
        return text


def _from_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _checked(value: Any, type: Type) -> Any:
    if not conforms(type, value):
        raise ValueError(f"not {describe(type)}")
    return value
