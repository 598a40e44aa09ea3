"""``@step``: a function that runs in a process of its own."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from argosy.errors import InvalidRequest
from argosy.flow.annotations import Refused, reviver
from argosy.flow.current import current_trace
from argosy.flow.options import Duration, Gang, Memoize, Resources, Retry, seconds, whole_number
from argosy.flow.signatures import Signature, annotations_of, check_step_function, plain, signature_of

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
X = TypeVar("X")


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step is run. Nothing here is part of its code."""

    name: str
    gang: Gang
    resources: Resources
    retry: Retry
    memoize: Memoize | None
    timeout_seconds: float | None
    preload: tuple[str, ...]
    priority: int
    serializer: str | None


class Step(Generic[P, R]):
    """A function made a step by :func:`step`.

    Inside a workflow a call adds a node to its graph and yields a stand-in for the result. Anywhere else a
    call runs the function itself, so that a step can be tested and used like any function.
    """

    def __init__(self, function: FunctionType, options: StepOptions, node_id: str | None = None) -> None:
        functools.update_wrapper(self, function)
        self.options = options
        self.node_id = node_id
        self.plain = function
        self.signature: Signature = signature_of(function)

    @property
    def name(self) -> str:
        return self.options.name

    @property
    def function_name(self) -> str:
        """The name under which the step's module holds it."""
        return plain(self.plain).__name__

    @functools.cached_property
    def function(self) -> Callable[P, R]:
        """What a worker calls, by keyword, with JSON values and artifacts.

        The function itself, unless an annotation promises what JSON has not: enums, tuples and endpoints
        are then made from their JSON form first.
        """
        try:
            annotations = annotations_of(self.plain)
            revivers = {name: reviver(annotation) for name, annotation in annotations.items()}
        except Refused:
            revivers = {}
        needed = {name: revive for name, revive in revivers.items() if revive and name != "return"}
        if not needed:
            return cast("Callable[P, R]", self.plain)

        @functools.wraps(self.plain)
        def revived(*args: Any, **kwargs: Any) -> Any:
            named = dict(zip(self.signature.positional, args, strict=False)) | kwargs
            return self.plain(
                **{name: needed[name](value) if name in needed else value for name, value in named.items()}
            )

        return cast("Callable[P, R]", revived)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        trace = current_trace.get()
        if trace is None:
            return cast("R", self.plain(*args, **kwargs))
        return cast("R", trace.add_step(self, args, kwargs))

    # Its own type as a callable lets a type checker see what the first parameter takes.
    def map(
        self: Callable[Concatenate[X, Q], R], items: Sequence[X], /, *args: Q.args, **fixed: Q.kwargs
    ) -> list[R]:
        """Run the step once for each of ``items``, which may be a result known only when the workflow runs.

        The items go to the first parameter, the other arguments to every run. The result is the list of
        results in the order of the items.
        """
        trace = current_trace.get()
        if trace is None:
            return [self(item, *args, **fixed) for item in items]
        step = cast("Step[..., R]", self)
        return cast("list[R]", trace.add_step(step, (items, *args), fixed, mapped=True))

    def named(self, node_id: str) -> Step[P, R]:
        """The same step; the node that a call adds gets this id in place of a numbered one."""
        if not isinstance(node_id, str):
            raise InvalidRequest(
                f"named({node_id!r}) is not a name", hint="write a text, such as 'train-cnn'"
            )
        renamed = copy.copy(self)
        renamed.node_id = node_id
        return renamed

    def __repr__(self) -> str:
        return f"<step {self.name!r} of {self.plain.__module__}>"


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    *,
    name: str | None = None,
    gang: Gang | None = None,
    resources: Resources | None = None,
    retry: Retry | None = None,
    memoize: Memoize | None = None,
    timeout: Duration | None = None,
    preload: Iterable[str] = (),
    priority: int = 0,
    serializer: str | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    gang: Gang | None = None,
    resources: Resources | None = None,
    retry: Retry | None = None,
    memoize: Memoize | None = None,
    timeout: Duration | None = None,
    preload: Iterable[str] = (),
    priority: int = 0,
    serializer: str | None = None,
) -> Any:
    """Make a function a step: ``@step``, or ``@step(...)`` with options.

    ``gang`` how many processes run it together · ``resources`` what each of them needs · ``retry`` what to
    do when it fails · ``memoize`` whether and how long its result is reused · ``timeout`` how long an
    attempt may take · ``preload`` heavy libraries it needs besides those it is seen to import ·
    ``priority`` the higher goes first · ``serializer="pickle"`` for results of any type · ``name`` another
    name than the function's.

    Raises InvalidGraph for a function that can not be a step, InvalidRequest for an option that can not be.
    """

    def decorate(decorated: Callable[..., Any]) -> Step[..., Any]:
        checked = check_step_function(decorated)
        return Step(checked, options(plain(checked).__name__))

    def options(default_name: str) -> StepOptions:
        return StepOptions(
            name=default_name if name is None else _step_name(name),
            gang=_instance(gang, Gang, "gang") or Gang(),
            resources=_instance(resources, Resources, "resources") or Resources(),
            retry=_instance(retry, Retry, "retry") or Retry(limit=0),
            memoize=_instance(memoize, Memoize, "memoize"),
            timeout_seconds=None if timeout is None else seconds(timeout, "timeout"),
            preload=_preload(preload),
            priority=whole_number(priority, "priority", least=-(10**9)),
            serializer=_serializer(serializer),
        )

    if function is not None:
        return decorate(function)
    options("step")
    return decorate


def _instance(value: Any, kind: type[X], name: str) -> X | None:
    if value is None or isinstance(value, kind):
        return value
    raise InvalidRequest(
        f"{name}={value!r} is not {kind.__name__}", hint=f"write {name}=ar.{kind.__name__}(...)"
    )


def _step_name(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise InvalidRequest(f"name={value!r} is not a name", hint="write a text, such as name='train-cnn'")


def _preload(value: object) -> tuple[str, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str):
        names = tuple(value)
        if all(isinstance(name, str) for name in names):
            return tuple(sorted(set(names)))
    raise InvalidRequest(
        f"preload={value!r} is not a list of libraries", hint="write preload=('tensorflow',)"
    )


def _serializer(value: object) -> str | None:
    if value is None or value == "pickle":
        return "pickle" if value else None
    raise InvalidRequest(
        f"serializer={value!r} is not known",
        hint="leave it out: the return annotation decides; only 'pickle' has to be asked for",
    )
