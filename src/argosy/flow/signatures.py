"""What functions may be steps and workflows, and what they take."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from argosy.errors import InvalidGraph, Problem
from argosy.flow.annotations import Refused, check_parameter, from_annotation
from argosy.flow.locations import caller, definition
from argosy.flow.types import ANY, Type
from argosy.flow.values import shown

_VARARGS, _VARKEYWORDS = 0x04, 0x08
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


@dataclass(frozen=True)
class Signature:
    """The parameters of a function: ``positional`` may be given by position, ``defaults`` may be left out."""

    positional: tuple[str, ...]
    keyword_only: tuple[str, ...]
    defaults: Mapping[str, Any]

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        return self.positional + self.keyword_only


@dataclass
class Types:
    """The types a signature stands for, and what is wrong with its annotations."""

    parameters: dict[str, Type] = field(default_factory=dict)
    returns: Type = ANY
    problems: list[Problem] = field(default_factory=list)


def plain(function: FunctionType) -> FunctionType:
    """The function below decorators that use functools.wraps."""
    while isinstance(inner := getattr(function, "__wrapped__", None), FunctionType):
        function = inner
    return function


def signature_of(function: FunctionType) -> Signature:
    inner = plain(function)
    code = inner.__code__
    positional = code.co_varnames[: code.co_argcount]
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    given = inner.__defaults__ or ()
    defaults = dict(zip(positional[len(positional) - len(given) :], given, strict=True))
    return Signature(positional, keyword_only, {**defaults, **(inner.__kwdefaults__ or {})})


def check_step_function(function: object) -> FunctionType:
    """``function``, if it can be a step. Raises InvalidGraph with everything that forbids it."""
    return _checked(function, "step", [*_place_problems, *_kind_problems, *_parameter_problems])


def check_workflow_function(function: object) -> FunctionType:
    """``function``, if it can be a workflow. Raises InvalidGraph with everything that forbids it."""
    return _checked(function, "workflow", [*_kind_problems, *_parameter_problems])


def _checked(function: object, kind: str, rules: list[typing.Any]) -> FunctionType:
    if not isinstance(function, FunctionType):
        raise InvalidGraph(
            [
                Problem(
                    rule=f"{kind}-function",
                    message=f"{shown(function)} ({type(function).__name__}) can not be a {kind}",
                    hint=f"write @{kind} above a plain function (def name(...): ...) of a module",
                    where=str(caller()),
                )
            ]
        )
    where = str(definition(plain(function)))
    # A lambda can have no annotations: that is not worth a second message.
    is_lambda = _no_lambda(plain(function), kind)
    found = [is_lambda] if is_lambda else [rule(plain(function), kind) for rule in rules]
    problems = [
        Problem(rule=f"{kind}-function", message=message, hint=hint, where=where)
        for message, hint in filter(None, found)
    ]
    if problems:
        raise InvalidGraph(problems)
    return function


Finding = tuple[str, str] | None


def _no_lambda(function: FunctionType, kind: str) -> Finding:
    if function.__name__ != "<lambda>":
        return None
    return f"a lambda can not be a {kind}", "write a function with def: its name is how a process finds it"


def _no_nested(function: FunctionType, kind: str) -> Finding:
    if "<locals>" not in function.__qualname__:
        return None
    captured = ", ".join(function.__code__.co_freevars)
    return (
        f"{kind} {function.__name__!r} is defined inside a function"
        + (f" and captures {captured} from it" if captured else ""),
        "move it to the top level of the file"
        + (" and pass what it captures as arguments" if captured else ""),
    )


def _no_method(function: FunctionType, kind: str) -> Finding:
    if "." not in function.__qualname__.rpartition("<locals>")[2].lstrip("."):
        return None
    return (
        f"{kind} {function.__qualname__!r} is defined inside a class",
        "move it to the top level of the file",
    )


def _no_coroutine(function: FunctionType, kind: str) -> Finding:
    if not function.__code__.co_flags & (_COROUTINE | _ASYNC_GENERATOR):
        return None
    return (
        f"{kind} {function.__name__!r} is async",
        "write def; to await something inside a step, call asyncio.run(...)"
        if kind == "step"
        else "write def: a workflow only says what runs",
    )


def _no_generator(function: FunctionType, kind: str) -> Finding:
    if not function.__code__.co_flags & _GENERATOR:
        return None
    return f"{kind} {function.__name__!r} is a generator", "return a list in place of yield"


def _no_variable_arguments(function: FunctionType, kind: str) -> Finding:
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    stars = [
        f"{star}{name}"
        for star, name in zip(
            ["*"] * bool(code.co_flags & _VARARGS) + ["**"] * bool(code.co_flags & _VARKEYWORDS),
            code.co_varnames[count:],
            strict=False,
        )
    ]
    if not stars:
        return None
    return (
        f"{kind} {function.__name__!r} takes {' and '.join(stars)}",
        "name each parameter; take a list[...] or dict[str, ...] for a varying number",
    )


def _no_positional_only(function: FunctionType, kind: str) -> Finding:
    count = function.__code__.co_posonlyargcount
    if not count:
        return None
    names = ", ".join(function.__code__.co_varnames[:count])
    return (
        f"{kind} {function.__name__!r} takes {names} by position only",
        "drop the '/': arguments go by name",
    )


def _annotated(function: FunctionType, kind: str) -> Finding:
    signature = signature_of(function)
    bare = [name for name in signature.names if name not in function.__annotations__]
    if not bare:
        return None
    return (
        f"{kind} {function.__name__!r} does not say the type of {', '.join(bare)}",
        f"annotate it, such as {bare[0]}: int or {bare[0]}: ar.Model",
    )


def _annotated_result(function: FunctionType, kind: str) -> Finding:
    if kind != "step" or "return" in function.__annotations__:
        return None
    return (
        f"step {function.__name__!r} does not say what it returns",
        "write -> and a type, such as -> ar.Model, or -> None",
    )


_place_problems = (_no_nested, _no_method)
_kind_problems = (_no_coroutine, _no_generator)
_parameter_problems = (_no_variable_arguments, _no_positional_only, _annotated, _annotated_result)


def annotations_of(function: FunctionType) -> dict[str, Any]:
    """The annotations of a function, evaluated. Raises Refused when one can not be."""
    inner = plain(function)
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except Exception as error:
        raise Refused(
            f"an annotation of {inner.__name__!r} can not be evaluated: {error}",
            "import what it names when the file runs, not only under TYPE_CHECKING",
        ) from None


def types_of(function: FunctionType, where: str) -> Types:
    """The types of a function's parameters and result, with a problem for each that can not be one."""
    found = Types()
    name = plain(function).__name__
    try:
        annotations = annotations_of(function)
    except Refused as refused:
        found.problems.append(Problem("annotation", refused.message, refused.hint, where))
        return found
    for parameter, message, hint in _fill(found, annotations, signature_of(function)):
        subject = f"argument {parameter!r} of {name!r}" if parameter else f"the result of {name!r}"
        found.problems.append(Problem("annotation", f"{subject}: {message}", hint, where))
    return found


def _fill(found: Types, annotations: dict[str, Any], signature: Signature) -> Iterator[tuple[str, str, str]]:
    for name in signature.names:
        found.parameters[name] = ANY
        try:
            type = from_annotation(annotations.get(name, Any))
            check_parameter(type)
            found.parameters[name] = type
        except Refused as refused:
            yield name, refused.message, refused.hint
    try:
        found.returns = from_annotation(annotations.get("return", Any))
    except Refused as refused:
        yield "", refused.message, refused.hint
