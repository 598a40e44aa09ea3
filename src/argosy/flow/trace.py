"""Running a workflow function once, to see which nodes it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from argosy.errors import InvalidGraph, Problem
from argosy.flow.annotations import Refused, output_name
from argosy.flow.drafts import Draft, StepFacts, assemble
from argosy.flow.graph import Argument, Arriving, CodeIdentity, Collection, Graph, Literal, NodeId, Reference
from argosy.flow.locations import Location, caller, definition
from argosy.flow.naming import base_name
from argosy.flow.origin import Origin
from argosy.flow.services import ArrivingList
from argosy.flow.serving import ServiceSettings, service_options
from argosy.flow.signatures import plain, types_of
from argosy.flow.standin import StandIn, index_of, trace_of
from argosy.flow.steps import Step
from argosy.flow.values import shown, to_json

MOST_NODES = 100_000
_FAULTY = Literal(None)


class Trace:
    """One run of a workflow function. Collects nodes and problems, and raises only when it can not go on."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.drafts: list[Draft] = []
        self.problems: list[Problem] = []
        self._facts: dict[Any, StepFacts] = {}

    @property
    def root(self) -> Path:
        return self.origin.tree.root

    def add_step(
        self, step: Step[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, mapped: bool = False
    ) -> StandIn:
        """A call of a step: one more node."""
        draft = Draft(
            base=base_name(step.name),
            name=step.name,
            location=self._here(),
            arguments={},
            explicit_id=step.node_id,
            step=step,
        )
        if mapped:
            draft.map_over = next(iter(step.signature.names), "")
        for name, value in self._bind(step, draft, args, kwargs).items():
            self._set_argument(draft, name, value)
        return self._append(draft)

    def add_service(
        self,
        name: object,
        models: object,
        replicas: object,
        aggregate: object,
        given: Mapping[str, object],
    ) -> StandIn:
        """A call of ``serve``: one more node. Raises InvalidGraph for settings that are none."""
        draft = Draft(base="serve", name="serve", location=self._here(), arguments={})
        bounds = _replica_range(replicas)
        if not isinstance(name, str):
            self._fail_service(draft, "name", name, "'fashion-mnist'")
        if bounds is None:
            self._fail_service(draft, "replicas", replicas, "(1, 4)")
        if not isinstance(aggregate, str):
            self._fail_service(draft, "aggregate", aggregate, "'mean'")
        options, faults = service_options(given, self.origin)
        self.problems += [
            Problem("service", f"{fault.place} of 'serve': {fault.message}", fault.hint, self._where(draft))
            for fault in faults
        ]
        draft.service = ServiceSettings(name, bounds, aggregate, options)
        try:
            draft.arguments["models"] = self.argument(models)
        except Refused as refused:
            message = f"argument 'models' of 'serve': {refused.message}"
            self.fail(Problem("value", message, refused.hint, self._where(draft)))
        return self._append(draft)

    def _fail_service(self, draft: Draft, name: str, value: object, mend: str) -> NoReturn:
        message = f"argument {name!r} of 'serve': {shown(value)} can not be it"
        self.fail(Problem("service", message, f"write {name}={mend}", self._where(draft)))

    def arriving(self, results: object) -> ArrivingList:
        """A call of ``arriving``. Raises InvalidGraph for what is not a list of results."""
        message = hint = ""
        if isinstance(results, StandIn):
            message = "arriving was given one result, which arrives at once"
            hint = "pass a list of results: arriving([train(data, a) for a in architectures])"
        elif not isinstance(results, list | tuple) or not results:
            message = f"arriving was given {shown(results)} where it takes a list of results of steps"
            hint = "pass a list of results: arriving([train(data, a) for a in architectures])"
        elif others := [item for item in results if not isinstance(item, StandIn)]:
            message = f"arriving was given {shown(others[0])}, which is not the result of a step"
            hint = "leave it out: it has arrived already"
        if message:
            self.fail(Problem("arriving", message, hint, str(self._here())))
        assert isinstance(results, list | tuple)
        return ArrivingList(results)

    def fail(self, problem: Problem) -> NoReturn:
        """Raise what has been found so far and this problem, with which tracing can not go on."""
        raise InvalidGraph([*self.problems, problem])

    def _here(self) -> Location:
        return caller(self.root).within(self.root)

    def _where(self, draft: Draft) -> str:
        return f"{draft.location} ({draft.explicit_id or draft.name})"

    def _append(self, draft: Draft) -> StandIn:
        if len(self.drafts) >= MOST_NODES:
            hint = "run a step over a list with step.map(items): the graph then holds one node"
            message = f"the workflow makes more than {MOST_NODES} nodes"
            self.fail(Problem("size", message, hint, str(draft.location)))
        self.drafts.append(draft)
        return StandIn(self, len(self.drafts) - 1, draft.name)

    def _bind(
        self, step: Step[..., Any], draft: Draft, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Arguments by name. What is missing or unknown stays so: the rules of validation say it."""
        signature = step.signature
        positional = signature.positional
        if len(args) > len(positional):
            self.problems.append(
                Problem(
                    "arguments",
                    f"step {step.name!r} takes {len(positional)} arguments by position, but gets {len(args)}",
                    f"it takes {_parameter_list(step)}",
                    self._where(draft),
                )
            )
        bound = dict(zip(positional, args, strict=False))
        for name in bound.keys() & kwargs.keys():
            message = f"argument {name!r} of {step.name!r} is given twice, by position and by name"
            self.problems.append(Problem("arguments", message, "drop one of them", self._where(draft)))
        return {**signature.defaults, **bound, **kwargs}

    def _set_argument(self, draft: Draft, name: str, value: Any) -> None:
        try:
            draft.arguments[name] = self.argument(value)
        except Refused as refused:
            message = f"argument {name!r} of {draft.name!r}: {refused.message}"
            self.problems.append(Problem("value", message, refused.hint, self._where(draft)))
            draft.arguments[name] = _FAULTY
            draft.faulty.add(name)

    def argument(self, value: Any) -> Argument:
        """A value of the workflow as an argument of the graph. Raises Refused for one that can not be."""
        kind = type(value)
        if kind is StandIn:
            return self._reference(value)
        if kind is ArrivingList:
            return Arriving(tuple(self._reference(item) for item in value))
        if kind in (list, tuple) and _holds_stand_in(value):
            return Collection(tuple(self.argument(item) for item in value))
        if kind is dict and _holds_stand_in(value):
            raise Refused(
                "the result of a step is inside a dict",
                "pass a list of results (list(results.values())), or each result as an argument of its own",
            )
        if isinstance(value, Step):
            raise Refused(f"{value!r} is a step, not its result", f"call it: {value.name}(...)")
        try:
            return Literal(to_json(value))
        except RecursionError:
            raise Refused("the value is nested too deeply", "let a step make it") from None

    def _reference(self, value: StandIn) -> Reference:
        if trace_of(value) is not self:
            raise Refused(
                f"{value!r} belongs to another trace",
                "use only results of steps called in this run of the workflow, not ones kept in a global",
            )
        return Reference(NodeId(str(index_of(value))))

    def facts(self, step: Step[..., Any]) -> StepFacts:
        """What is the same for every call of ``step``; problems of its definition are noted once."""
        key = (step.plain, id(step.options))
        if key not in self._facts:
            self._facts[key] = self._study(step)
        return self._facts[key]

    def _study(self, step: Step[..., Any]) -> StepFacts:
        function = plain(step.plain)
        where = str(definition(function).within(self.root))
        types = types_of(step.plain, where)
        self.problems.extend(types.problems)
        output = "json"
        if not types.problems:
            try:
                output = output_name(types.returns, step.options.serializer)
            except Refused as refused:
                self.problems.append(
                    Problem("annotation", f"step {step.name!r}: {refused.message}", refused.hint, where)
                )
        if problem := _hidden(step, where):
            self.problems.append(problem)
            return StepFacts(function.__module__, output, types, CodeIdentity("", {}), ())
        reader, inside, module = self.origin.locate(step.plain)
        signature = ", ".join(
            [*(f"{n}: {t}" for n, t in types.parameters.items()), f"-> {types.returns}", output]
        )
        code, heavy = reader.identity(inside, function.__name__, signature)
        preload = tuple(sorted({*heavy, *step.options.preload}))
        return StepFacts(module, output, types, code, preload)

    def finish(self, workflow: str, parameters: dict[str, Any], output: Argument) -> Graph:
        """The graph of everything that was called."""
        for draft in self.drafts:
            if draft.step is not None:
                self.facts(draft.step)
        return assemble(workflow, parameters, output, self)


def _replica_range(replicas: object) -> tuple[int, int] | None:
    match replicas:
        case int() if not isinstance(replicas, bool):
            return (replicas, replicas)
        case [int() as fewest, int() as most]:
            return (fewest, most)
    return None


def _parameter_list(step: Step[..., Any]) -> str:
    return ", ".join(step.signature.names) or "none"


def _holds_stand_in(value: Any) -> bool:
    kind = type(value)
    if kind is StandIn or kind is ArrivingList:
        return True
    if kind is dict:
        return any(_holds_stand_in(item) for pair in value.items() for item in pair)
    return kind in (list, tuple) and any(_holds_stand_in(item) for item in value)


def _hidden(step: Step[..., Any], where: str) -> Problem | None:
    """A worker finds a step by module and name; what is found there must be this step."""
    function = plain(step.plain)
    found = function.__globals__.get(function.__name__)
    if found is function or (isinstance(found, Step) and plain(found.plain) is function):
        return None
    if found is step.plain:
        return None
    return Problem(
        "hidden-step",
        f"no worker can find step {step.name!r}: {function.__name__!r} names something else in its module",
        "give each step a name of its own; a later definition hides an earlier one",
        where,
    )
