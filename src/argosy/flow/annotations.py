"""From Python annotations to the types of a graph, and from JSON back to what an annotation promises."""

from __future__ import annotations

import collections.abc
import enum
import functools
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

from argosy.flow.types import (
    ANY,
    ARTIFACT_NAMES,
    JSON_NAMES,
    NAMES,
    NONE,
    Choice,
    DictOf,
    ListOf,
    Plain,
    TupleOf,
    Type,
    conforms,
    describe,
    either,
    is_json,
)

PICKLE = "pickle"
_TREE_HINT = "take and return ar.FileTree: a path means nothing on another machine or after the step's end"
_LISTS = frozenset(
    {
        list,
        collections.abc.Sequence,
        collections.abc.MutableSequence,
        collections.abc.Iterable,
        collections.abc.Collection,
    }
)
_DICTS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})

Revive = Callable[[Any], Any]


class Refused(Exception):
    """A value or an annotation that can not be part of a graph; whoever asked knows where it stands."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def from_annotation(annotation: object) -> Type:
    """The type of a graph that an annotation stands for. Raises Refused for one that has none."""
    if annotation is Any or annotation is object:
        return ANY
    if annotation is None or annotation is types.NoneType:
        return NONE
    annotation = _bare(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return _choice([_plain_value(value) for value in typing.get_args(annotation)], annotation)
    if origin in (typing.Union, types.UnionType):
        return either([from_annotation(member) for member in typing.get_args(annotation)])
    if isinstance(annotation, type) or origin is not None:
        return _from_class(annotation, origin or annotation)
    raise Refused(f"{_written(annotation)} is not a type that Argosy knows", _JSON_HINT)


_JSON_HINT = "use JSON types (int, str, list[...], dict[str, ...]), numpy.ndarray, FileTree, Dataset or Model"


def _bare(annotation: Any) -> Any:
    """Without ``Annotated`` and ``NewType``, which say nothing of the value's form."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            return annotation


def _from_class(annotation: Any, kind: Any) -> Type:
    arguments = typing.get_args(annotation)
    if kind in _LISTS:
        return ListOf(from_annotation(arguments[0]) if arguments else ANY)
    if kind is tuple:
        return _from_tuple(arguments, annotation)
    if kind in _DICTS or typing.is_typeddict(kind):
        return _from_mapping(arguments)
    if isinstance(kind, type):
        return _from_plain_class(kind)
    raise Refused(f"{_written(annotation)} is not a type that Argosy knows", _JSON_HINT)


def _from_tuple(arguments: tuple[Any, ...], annotation: Any) -> Type:
    if not arguments:
        raise Refused(
            f"{_written(annotation)} does not say what it holds", "write tuple[int, int] or list[int]"
        )
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return ListOf(from_annotation(arguments[0]))
    return TupleOf(tuple(from_annotation(argument) for argument in arguments))


def _from_mapping(arguments: tuple[Any, ...]) -> Type:
    if len(arguments) != 2:
        return DictOf(ANY)
    if from_annotation(arguments[0]) not in (Plain("str"), ANY):
        raise Refused(
            f"a dict with keys of {_written(arguments[0])}", "JSON has text keys only: use dict[str, ...]"
        )
    return DictOf(from_annotation(arguments[1]))


def _from_plain_class(kind: type) -> Type:
    if kind.__module__ == "builtins" and kind.__name__ in JSON_NAMES | {"bytes"}:
        return Plain(kind.__name__)
    artifact = getattr(kind, "artifact_type", None)
    if isinstance(artifact, str) and artifact in NAMES:
        return Plain(artifact)
    if kind.__module__.partition(".")[0] == "numpy":
        return _from_numpy(kind)
    if issubclass(kind, enum.Enum):
        return _choice([member.value for member in kind], kind)
    if issubclass(kind, pathlib.PurePath):
        raise Refused(f"{_written(kind)} is a path", _TREE_HINT)
    if issubclass(kind, set | frozenset):
        raise Refused(f"{_written(kind)} has no JSON form", "use list[...]")
    return Plain(PICKLE)


def _from_numpy(kind: type) -> Type:
    if kind.__name__ == "ndarray":
        return Plain("numpy")
    raise Refused(f"{_written(kind)} is a NumPy scalar", "use float or int, and convert with .item()")


def _plain_value(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _choice(values: list[Any], annotation: object) -> Type:
    if values and all(value is None or isinstance(value, str | int) for value in values):
        return Choice(tuple(values))
    raise Refused(
        f"the values of {_written(annotation)} are not texts or whole numbers", "use a str for each"
    )


def _written(annotation: object) -> str:
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def output_name(result: Type, serializer: str | None) -> str:
    """How a result of this type is stored: a graph's ``output``. Raises Refused when there is no way."""
    if serializer == PICKLE:
        return PICKLE
    if is_json(result):
        return "json"
    if isinstance(result, Plain) and result.name in ARTIFACT_NAMES - {PICKLE}:
        return result.name
    if isinstance(result, ListOf) and isinstance(result.item, Plain) and not is_json(result.item):
        return f"list[{output_name(result.item, serializer)}]"
    raise Refused(f"a result of type {describe(result)} can not be stored", _RESULT_HINT)


_RESULT_HINT = (
    "return a JSON value, bytes, numpy.ndarray, FileTree, Dataset, Model or a list of one of these, "
    "or write @step(serializer='pickle')"
)


def check_parameter(parameter: Type) -> None:
    """Raises Refused for a type that no value of a graph has."""
    members = parameter.members if not isinstance(parameter, Plain) and hasattr(parameter, "members") else ()
    for member in members or (parameter,):
        item = member.item if isinstance(member, ListOf) else member
        if not isinstance(item, Plain) and not is_json(item):
            raise Refused(
                f"{describe(parameter)} holds artifacts inside a value",
                "take a list of them, or one argument for each",
            )


def reviver(annotation: object) -> Revive | None:
    """What turns a JSON value into the value that ``annotation`` promises; None when it is that already."""
    annotation = _bare(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and origin is None:
        return _class_reviver(annotation)
    if origin is tuple:
        return _tuple_reviver(arguments)
    if origin in _LISTS and (item := reviver(arguments[0])):
        return functools.partial(_revive_list, item)
    if origin in _DICTS and (value := reviver(arguments[1])):
        return functools.partial(_revive_dict, value)
    if origin is typing.Literal and any(isinstance(value, enum.Enum) for value in arguments):
        return {_plain_value(value): value for value in arguments}.__getitem__
    if origin in (typing.Union, types.UnionType):
        return _union_reviver(arguments)
    return None


def _class_reviver(kind: type) -> Revive | None:
    if issubclass(kind, enum.Enum):
        return kind
    return getattr(kind, "from_json", None) if hasattr(kind, "artifact_type") else None


def _revive_list(item: Revive, values: list[Any]) -> list[Any]:
    return [item(value) for value in values]


def _revive_dict(item: Revive, values: dict[str, Any]) -> dict[str, Any]:
    return {key: item(value) for key, value in values.items()}


def _tuple_reviver(arguments: tuple[Any, ...]) -> Revive:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        every = reviver(arguments[0])
        return lambda values: tuple(every(value) if every else value for value in values)
    each = [reviver(argument) for argument in arguments]
    return lambda values: tuple(one(value) if one else value for one, value in zip(each, values, strict=True))


def _union_reviver(members: tuple[Any, ...]) -> Revive | None:
    revivers = [(from_annotation(member), reviver(member)) for member in members]
    if all(revive is None for _, revive in revivers):
        return None

    def revive_union(value: Any) -> Any:
        for type, revive in revivers:
            if conforms(type, value):
                return revive(value) if revive else value
        return value

    return revive_union
