"""What a step's call yields while a workflow is traced: a stand-in for a result that does not exist yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from argosy.errors import InvalidGraph, Problem
from argosy.flow.locations import caller
from argosy.flow.values import RESULT_MARK

_IN_STEP = "do it inside a step, where the value is known: write a step that takes this result"


class StandIn:
    """The result of node number ``index`` of ``trace``; it can be passed on and nothing else.

    Whatever would need the value raises InvalidGraph with the line at fault.
    """

    __slots__ = ("_index", "_step", "_trace")

    def __init__(self, trace: object, index: int, step: str) -> None:
        object.__setattr__(self, "_trace", trace)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_step", step)

    def __repr__(self) -> str:
        return f"{RESULT_MARK}{_step(self)!r}>"

    __hash__ = object.__hash__

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance and match read it: without this they would quietly say no.
        return _refuse(self, "can not be asked for its type", _IF)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return _refuse(self, f"has no attribute {name!r} yet", _IN_STEP)

    def __setattr__(self, name: str, value: object) -> None:
        _refuse(self, f"can not be given an attribute {name!r}", _IN_STEP)

    def __delattr__(self, name: str) -> None:
        _refuse(self, f"has no attribute {name!r} to delete", _IN_STEP)


def index_of(stand_in: StandIn) -> int:
    """The number of the node whose result it stands for."""
    index: int = object.__getattribute__(stand_in, "_index")
    return index


def trace_of(stand_in: StandIn) -> object:
    """The trace it belongs to."""
    trace: object = object.__getattribute__(stand_in, "_trace")
    return trace


def _step(stand_in: StandIn) -> str:
    step: str = object.__getattribute__(stand_in, "_step")
    return step


def _refuse(stand_in: StandIn, message: str, hint: str) -> NoReturn:
    problem = Problem(
        rule="use-of-result",
        message=f"the result of step {_step(stand_in)!r} {message}: it is known only when the workflow runs",
        hint=hint,
        where=str(_place(stand_in)),
    )
    raise InvalidGraph([problem])


def _place(stand_in: StandIn) -> object:
    root = getattr(trace_of(stand_in), "root", None)
    return caller(root).within(root) if root else caller()


_IF = "make the choice inside a step that takes this result"
_LOOP = "to run a step for each item, write step.map(result); to use them all in one step, pass the result on"
_TEXT = "build the text inside a step that takes this result"

_USES: dict[str, tuple[str, str]] = {
    "can not be tested by if, and, or, not, while or assert": (_IF, "bool"),
    "can not be looped over": (_LOOP, "iter reversed contains next"),
    "has no length yet": (_LOOP, "len length_hint"),
    "can not be indexed": (_IN_STEP, "getitem setitem delitem"),
    "can not be compared": (_IF, "eq ne lt le gt ge"),
    "can not be made a text": (_TEXT, "str format bytes fspath"),
    "can not be made a number": (_IN_STEP, "int float complex index round trunc floor ceil"),
    "can not be called": ("pass it to a step instead", "call"),
    "can not be awaited": (
        "drop the await: steps are waited for where their results are used",
        "await aiter anext",
    ),
    "can not be used in a with statement": (_IN_STEP, "enter exit aenter aexit"),
    "can not be copied or pickled": (
        "pass the same result on as often as you need",
        "copy deepcopy reduce_ex",
    ),
    "can not be used in arithmetic": (
        _IN_STEP,
        "add radd iadd sub rsub isub mul rmul imul matmul rmatmul imatmul truediv rtruediv itruediv "
        "floordiv rfloordiv ifloordiv mod rmod imod divmod rdivmod pow rpow ipow lshift rlshift ilshift "
        "rshift rrshift irshift and rand iand or ror ior xor rxor ixor neg pos abs invert",
    ),
}


def _refusal(message: str, hint: str) -> Callable[..., Any]:
    def method(self: StandIn, *_: object, **__: object) -> NoReturn:
        _refuse(self, message, hint)

    return method


for _message, (_hint, _names) in _USES.items():
    for _name in _names.split():
        setattr(StandIn, f"__{_name}__", _refusal(_message, _hint))
