"""Options of a service from plain values: every wrong key and value is found, each with its place."""

from __future__ import annotations

import difflib
import enum
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from argosy.errors import ArgosyError, InvalidRequest
from argosy.flow.service_options import FunctionReference
from argosy.flow.service_rules import Fault
from argosy.units import parse_duration, parse_memory

T = TypeVar("T", bound=msgspec.Struct)
FindFunction = Callable[[str], FunctionReference]


class _Wrong(Exception):
    """Said already; whoever asked takes the default."""


class OptionReader:
    """Reads values as the types of :mod:`argosy.flow.service_options` and collects ``faults``.

    A length of time may also be a text such as ``30s`` and a number of bytes one such as ``2Gi``. A text in
    the place of a user's function is given to ``find_function``, which may raise ArgosyError.
    """

    def __init__(self, find_function: FindFunction | None = None) -> None:
        self.faults: list[Fault] = []
        self._find_function = find_function

    def struct(self, kind: type[T], value: object, place: str = "") -> T:
        """``value`` as a ``kind``; what is wrong in it has its default."""
        if isinstance(value, kind):
            # Constructors take anything: what an author wrote is looked at like anything else.
            value = {name: getattr(value, name) for name in _types(kind)}
        if not isinstance(value, Mapping):
            self._fault(
                place, f"{shown(value)} is not a group of options", f"it holds {', '.join(_types(kind))}"
            )
            return kind()
        known, given = _types(kind), {}
        for key, item in value.items():
            inner = f"{place}.{key}" if place else str(key)
            if key not in known:
                self.unknown(inner, str(key), list(known))
                continue
            try:
                given[key] = self._value(known[key], item, inner)
            except _Wrong:
                continue
        return self._made(kind, given, place)

    def _made(self, kind: type[T], given: dict[str, Any], place: str) -> T:
        try:
            return kind(**given)
        except TypeError:
            missing = [f.name for f in msgspec.structs.fields(kind) if f.required and f.name not in given]
            self._fault(place, f"it says nothing of {', '.join(missing)}", "add it")
            raise _Wrong from None

    def unknown(self, place: str, key: str, known: list[str]) -> None:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
        self._fault(place, f"there is no option {key!r} here", hint)

    def _value(self, kind: Any, value: object, place: str) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            if value is None:
                return None
            return self._value(next(one for one in arguments if one is not type(None)), value, place)
        if kind is FunctionReference:
            return self._function(value, place)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.struct(kind, value, place)
        if origin is dict:
            return self._mapping(arguments[1], value, place)
        if origin is tuple:
            return self._tuple(arguments, value, place)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return self._choice(kind, value, place)
        return self._scalar(kind, value, place)

    def _function(self, value: object, place: str) -> FunctionReference:
        if isinstance(value, FunctionReference):
            return value
        if isinstance(value, str) and self._find_function is not None:
            try:
                return self._find_function(value)
            except ArgosyError as error:
                raise self._wrong(place, error.message, error.hint) from None
        raise self._wrong(place, f"{shown(value)} is not a function", "write it as FILE.py:FUNCTION")

    def _mapping(self, kind: Any, value: object, place: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self._wrong(place, f"{shown(value)} is not a group of names", "write NAME: {...} for each")
        return {str(key): self._value(kind, item, f"{place}.{key}") for key, item in value.items()}

    def _tuple(self, arguments: tuple[Any, ...], value: object, place: str) -> tuple[Any, ...]:
        endless = len(arguments) == 2 and arguments[1] is Ellipsis
        if not isinstance(value, list | tuple) or (not endless and len(value) != len(arguments)):
            what = "a list of numbers" if endless else f"a list of {len(arguments)} numbers"
            raise self._wrong(place, f"{shown(value)} is not {what}", f"write {what}, such as [1, 2]")
        kinds = [arguments[0]] * len(value) if endless else list(arguments)
        return tuple(
            self._value(kind, item, f"{place}.{index}")
            for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
        )

    def _choice(self, kind: type[enum.Enum], value: object, place: str) -> Any:
        choices = [str(member.value) for member in kind]
        if isinstance(value, str) and value in choices:
            return kind(value)
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(map(repr, choices))}"
        raise self._wrong(place, f"{shown(value)} is not one of {', '.join(choices)}", hint)

    def _scalar(self, kind: Any, value: object, place: str) -> Any:
        if isinstance(value, str) and kind in (int, float) and (parse := _quantity(place)):
            try:
                return kind(parse(value))
            except InvalidRequest as error:
                raise self._wrong(place, error.message, error.hint) from None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind is float and number:
            return float(typing.cast(float, value))
        if type(value) is kind:
            return value
        what = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
        raise self._wrong(place, f"{shown(value)} is not {what}", f"write {what}")

    def _wrong(self, place: str, message: str, hint: str) -> _Wrong:
        self._fault(place, message, hint)
        return _Wrong()

    def _fault(self, place: str, message: str, hint: str) -> None:
        self.faults.append(Fault(place, message, hint))


def _types(kind: type[msgspec.Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in msgspec.structs.fields(kind)}


def _quantity(place: str) -> Callable[[str], float] | None:
    if place.endswith("_seconds"):
        return lambda text: 0.0 if text.strip("0.smh ") == "" else parse_duration(text).total_seconds()
    return parse_memory if place.endswith("_bytes") else None


def shown(value: object) -> str:
    """A value as it may stand in a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
