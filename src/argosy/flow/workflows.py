"""``@workflow``: a function that says which steps run, on what."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from argosy.errors import InvalidGraph, InvalidRequest, Problem
from argosy.flow.annotations import Refused, reviver
from argosy.flow.graph import Graph
from argosy.flow.locations import definition
from argosy.flow.signatures import (
    Types,
    annotations_of,
    check_workflow_function,
    plain,
    signature_of,
    types_of,
)
from argosy.flow.types import Choice, Either, ListOf, Plain, Type, conforms, describe, is_json, parse_type
from argosy.flow.values import parse_text, shown, to_json

if TYPE_CHECKING:
    from argosy.flow.origin import Origin

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a workflow. ``type`` is written as in :mod:`argosy.flow.types`, ``default`` is JSON.

    ``doc`` is the first text in ``Annotated[...]``.
    """

    name: str
    type: str
    default: Any = None
    required: bool = True
    doc: str = ""


class Workflow(Generic[P, R]):
    """A function made a workflow by :func:`workflow`.

    A call inside another workflow adds its steps to that one; a call anywhere else runs the steps here and
    now, as plain functions. :meth:`trace` yields the graph.
    """

    def __init__(self, function: FunctionType, name: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self._origin: Origin | None = None

    @property
    def doc(self) -> str:
        """The first paragraph of the function's docstring."""
        return " ".join((self.function.__doc__ or "").strip().partition("\n\n")[0].split())

    @property
    def origin(self) -> Origin:
        """Where the workflow comes from. Raises InvalidRequest when its code is in no file."""
        if self._origin is None:
            from argosy.flow.origin import origin_of

            self._origin = origin_of(self.function)
        return self._origin

    @origin.setter
    def origin(self, origin: Origin) -> None:
        self._origin = origin

    @functools.cached_property
    def types(self) -> Types:
        """Raises InvalidGraph for parameters whose values can not be given when a run is started."""
        where = str(definition(plain(self.function)).within(self.origin.tree.root))
        found = types_of(self.function, where)
        problems = list(found.problems)
        problems += [
            Problem(
                "parameter",
                f"parameter {name!r} of workflow {self.name!r} is {describe(type)}, which only a step makes",
                "take a value such as a name or a number, and let a step make the rest from it",
                where,
            )
            for name, type in found.parameters.items()
            if not is_json(type)
        ]
        if problems:
            raise InvalidGraph(problems)
        return found

    @functools.cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What the workflow takes. Raises InvalidGraph when that can not be said."""
        defaults = signature_of(self.function).defaults
        docs = self._docs()
        return tuple(
            Parameter(
                name=name,
                type=str(type),
                default=self._default(name, type, defaults[name]) if name in defaults else None,
                required=name not in defaults,
                doc=docs.get(name, ""),
            )
            for name, type in self.types.parameters.items()
        )

    def _default(self, name: str, type: Type, value: object) -> Any:
        try:
            return self._checked(name, type, value)
        except Refused as refused:
            where = str(definition(plain(self.function)).within(self.origin.tree.root))
            raise InvalidGraph(
                [Problem("parameter", f"the default of {refused.message}", refused.hint, where)]
            ) from None

    def _docs(self) -> dict[str, str]:
        annotations = annotations_of(self.function)
        return {
            name: next((text for text in annotation.__metadata__ if isinstance(text, str)), "")
            for name, annotation in annotations.items()
            if typing.get_origin(annotation) is typing.Annotated
        }

    def parse_parameters(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Parameter values from what a person wrote. Raises InvalidRequest with all that does not fit."""
        types = self.types.parameters
        values: dict[str, Any] = {}
        problems = self._unknown(texts)
        for name in texts.keys() & types.keys():
            try:
                values[name] = parse_text(texts[name], types[name])
            except (ValueError, Refused):
                problems.append(
                    Problem(
                        "parameter",
                        f"parameter {name!r} takes {describe(types[name])}, but gets {shown(texts[name])}",
                        f"write {_example(types[name])}",
                    )
                )
        _raise_together(problems)
        return values

    def trace(self, /, **values: Any) -> Graph:
        """The graph of one run with these parameter values.

        Equal code and equal values give an equal graph. Raises InvalidGraph with everything that is wrong
        with the workflow, InvalidRequest with everything that is wrong with the values.
        """
        from argosy.flow.tracing import trace_workflow

        with self.origin.active():
            return trace_workflow(self, self.complete(values))

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """``values`` and the defaults of the rest, as JSON. Raises InvalidRequest."""
        problems = self._unknown(values)
        complete: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name not in values:
                complete[parameter.name] = parameter.default
                if parameter.required:
                    message = f"parameter {parameter.name!r} of workflow {self.name!r} is missing"
                    problems.append(
                        Problem(
                            "parameter", message, f"give it: --{_option(parameter.name)} ({parameter.type})"
                        )
                    )
                continue
            try:
                complete[parameter.name] = self._checked(
                    parameter.name, parse_type(parameter.type), values[parameter.name]
                )
            except Refused as refused:
                problems.append(Problem("parameter", refused.message, refused.hint))
        _raise_together(problems)
        return complete

    def revive(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """JSON values as the function's annotations promise them: enums, tuples."""
        revivers = {name: reviver(annotation) for name, annotation in annotations_of(self.function).items()}
        return {name: revive(v) if (revive := revivers.get(name)) else v for name, v in values.items()}

    def _checked(self, name: str, type: Type, value: object) -> Any:
        try:
            json = to_json(value)
        except Refused as refused:
            raise Refused(f"parameter {name!r}: {refused.message}", refused.hint) from None
        if not conforms(type, json):
            raise Refused(
                f"parameter {name!r} takes {describe(type)}, but gets {shown(value)}",
                f"write {_example(type)}",
            )
        return json

    def _unknown(self, names: Mapping[str, Any]) -> list[Problem]:
        known = list(self.types.parameters)
        return [
            Problem(
                "parameter", f"workflow {self.name!r} has no parameter {name!r}", _did_you_mean(name, known)
            )
            for name in names
            if name not in known
        ]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", self.function(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<workflow {self.name!r}>"


@overload
def workflow(function: Callable[P, R], /) -> Workflow[P, R]: ...


@overload
def workflow(*, name: str | None = None) -> Callable[[Callable[P, R]], Workflow[P, R]]: ...


def workflow(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
    """Make a function a workflow: ``@workflow``, or ``@workflow(name="...")``.

    The function is run once, when a run is started, to see which steps it calls; its parameters become
    options of the command line. Raises InvalidGraph for a function that can not be a workflow.
    """

    def decorate(decorated: Callable[..., Any]) -> Workflow[..., Any]:
        checked = check_workflow_function(decorated)
        return Workflow(checked, name or plain(checked).__name__)

    return decorate if function is None else decorate(function)


def _option(name: str) -> str:
    return name.replace("_", "-")


def _did_you_mean(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"it takes {', '.join(known)}" if known else "it takes no parameters"


def _example(type: Type) -> str:
    match type:
        case Plain("bool"):
            return "true or false"
        case Plain("int"):
            return "a whole number, such as 5"
        case Plain("float"):
            return "a finite number, such as 0.5"
        case Plain("str"):
            return "a text"
        case ListOf():
            return "a list: a,b,c or a JSON array"
        case Choice(values):
            return f"one of {', '.join(map(str, values))}"
        case Either(members):
            return " or ".join(dict.fromkeys(map(_example, members)))
        case _:
            return {"None": "none"}.get(str(type), f"a value of {describe(type)}, as JSON")


def _raise_together(problems: list[Problem]) -> None:
    if not problems:
        return
    single = len(problems) == 1
    raise InvalidRequest(
        problems[0].message if single else "\n".join(map(str, problems)),
        hint=problems[0].hint if single else "",
        context={"problems": [{"message": p.message, "hint": p.hint} for p in problems]},
    )
