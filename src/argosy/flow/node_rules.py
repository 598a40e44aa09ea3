"""What must hold of each node of a graph. Each rule yields a problem for everything that breaks it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator

from argosy.errors import InvalidRequest, Problem
from argosy.flow.checking import argument_problems
from argosy.flow.graph import Argument, Arriving, Collection, Literal, ServiceNode, StepNode, node_arguments
from argosy.flow.rules import Subject
from argosy.flow.service_rules import faults
from argosy.flow.types import ANY, ARTIFACT_NAMES, ListOf, Plain, Type, parse_type
from argosy.units import format_memory

OUTPUTS = frozenset({"json", *ARTIFACT_NAMES})
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_MODELS = ListOf(Plain("model"))


def code_has_a_name(subject: Subject, node: StepNode) -> Iterator[Problem]:
    parts = node.module.split(".")
    if not node.function.isidentifier() or not all(part and "/" not in part for part in parts):
        yield Problem(
            "code",
            f"{node.module[:80]!r}, {node.function[:80]!r} name no function of a module",
            "name a module, such as 'hello' or 'pkg.steps', and a function at its top level",
            subject.where(node),
        )


def output_has_a_serializer(subject: Subject, node: StepNode) -> Iterator[Problem]:
    inner = (
        node.output[5:-1] if node.output.startswith("list[") and node.output.endswith("]") else node.output
    )
    if inner not in OUTPUTS:
        yield Problem(
            "output-type",
            f"the output {node.output[:80]!r} of {node.id!r} is of no known type",
            f"use one of {', '.join(sorted(OUTPUTS))}, or list[...] of one",
            subject.where(node),
        )


def types_are_readable(subject: Subject, node: StepNode) -> Iterator[Problem]:
    named = {f"parameter {name!r}": text for name, text in (node.parameters or {}).items()}
    for owner, text in {**named, "the result": node.returns or "Any"}.items():
        try:
            parse_type(text)
        except InvalidRequest as error:
            message = f"the type of {owner} of {node.step!r}: {error.message}"
            yield Problem("type", message, error.hint, subject.where(node))


def no_argument_is_missing(subject: Subject, node: StepNode) -> Iterator[Problem]:
    for name in node.parameters or {}:
        if name not in node.arguments:
            yield Problem(
                "missing-argument",
                f"step {node.step!r} is called without its argument {name!r}",
                f"give it: {node.function}({name}=...), or give the parameter a default",
                subject.where(node),
            )


def no_argument_is_unknown(subject: Subject, node: StepNode) -> Iterator[Problem]:
    if node.parameters is None:
        return
    for name in node.arguments:
        if name not in node.parameters:
            close = difflib.get_close_matches(name, node.parameters, n=1)
            takes = ", ".join(node.parameters) or "no arguments"
            yield Problem(
                "unknown-argument",
                f"step {node.step!r} has no argument {name!r}",
                f"did you mean {close[0]!r}?" if close else f"it takes {takes}",
                subject.where(node),
            )


def arguments_fit(subject: Subject, node: StepNode) -> Iterator[Problem]:
    for name, text in (node.parameters or {}).items():
        if name not in node.arguments or (name == node.map_over and not _may_be_list(node.arguments[name])):
            continue
        target = _target(text)
        what = f"argument {name!r} of {node.step!r}"
        if name == node.map_over:
            target, what = ListOf(target), f"{what} under .map"
        for message, hint in argument_problems(node.arguments[name], target, subject.types, what):
            yield Problem("argument-type", message, hint, subject.where(node))


def _target(text: str) -> Type:
    try:
        return parse_type(text)
    except InvalidRequest:
        return ANY


def map_is_over_an_argument(subject: Subject, node: StepNode) -> Iterator[Problem]:
    if node.map_over is None:
        return
    argument = node.arguments.get(node.map_over)
    if argument is None:
        yield Problem(
            "map",
            f"step {node.step!r} is mapped over {node.map_over!r}, which is not one of its arguments",
            "map a step that takes an item as its first parameter",
            subject.where(node),
        )
    elif not _may_be_list(argument):
        yield Problem(
            "map",
            f"step {node.step!r} is mapped over {node.map_over!r}, which is not a list",
            "map over a list, or over the result of a step that returns one",
            subject.where(node),
        )


def _may_be_list(argument: Argument) -> bool:
    return not isinstance(argument, Literal) or isinstance(argument.value, list)


def arriving_stands_alone(subject: Subject, node: StepNode | ServiceNode) -> Iterator[Problem]:
    for name, argument in node_arguments(node).items():
        if isinstance(argument, Collection) and _holds_arriving(argument):
            message = f"argument {name!r} of {node.id!r} has arriving(...) inside a list"
            yield Problem(
                "arriving", message, "pass arriving(...) as the whole argument", subject.where(node)
            )
        if not isinstance(argument, Arriving):
            continue
        if not argument.items:
            message = f"argument {name!r} of {node.id!r} is arriving(...) of nothing"
            yield Problem("arriving", message, "pass a list of results", subject.where(node))
        if isinstance(node, StepNode) and node.map_over == name:
            message = f"step {node.step!r} is mapped over arriving(...)"
            hint = (
                "call the step for each result in a comprehension: each call starts when its result is there"
            )
            yield Problem("arriving", message, hint, subject.where(node))


def _holds_arriving(argument: Argument) -> bool:
    match argument:
        case Arriving():
            return True
        case Collection(items):
            return any(map(_holds_arriving, items))
    return False


def gang_is_possible(subject: Subject, node: StepNode) -> Iterator[Problem]:
    gang = node.gang
    fewest = gang.workers if gang.min_workers is None else gang.min_workers
    if not 1 <= fewest <= gang.workers:
        yield Problem(
            "gang",
            f"{node.id!r} asks for a gang of {fewest} to {gang.workers} workers",
            "ask for workers from 1, and for min_workers from 1 to workers",
            subject.where(node),
        )


def resources_are_amounts(subject: Subject, node: StepNode) -> Iterator[Problem]:
    resources = node.resources
    wrong = [
        f"cpu {resources.cpu}" * (not 0 <= resources.cpu < math.inf),
        f"memory {resources.memory}" * (resources.memory is not None and resources.memory <= 0),
        f"gpu {resources.gpu}" * (resources.gpu < 0),
    ]
    for amount in filter(None, wrong):
        yield Problem(
            "resources",
            f"{node.id!r} asks for {amount}, which is not an amount",
            "ask for cpu and gpu from 0, and for memory above 0 or none at all",
            subject.where(node),
        )


def times_are_possible(subject: Subject, node: StepNode) -> Iterator[Problem]:
    retry = node.retry
    age = node.memoize.max_age_seconds if node.memoize else None
    wrong = [
        f"timeout {node.timeout_seconds}" * (node.timeout_seconds is not None and node.timeout_seconds <= 0),
        f"max_age {age}" * (age is not None and age <= 0),
        f"retry limit {retry.limit}" * (retry.limit < 0),
        f"backoff {retry.backoff_seconds}" * (retry.backoff_seconds < 0),
        f"longest backoff {retry.maximum_seconds}" * (retry.maximum_seconds < 0),
        f"retry factor {retry.factor}" * (retry.factor < 1),
    ]
    for amount in filter(None, wrong):
        yield Problem(
            "times",
            f"{node.id!r} has {amount}, which can not be",
            "times are seconds above 0, a retry limit is from 0 and its factor from 1",
            subject.where(node),
        )


def machine_is_large_enough(subject: Subject, node: StepNode) -> Iterator[Problem]:
    machine, wants, workers = subject.machine, node.resources, node.gang.workers
    if machine is None:
        return
    each = f"{workers} workers × " if workers > 1 else ""
    needed = (
        ("cpu", wants.cpu, machine.cpu, _show_number),
        ("memory", wants.memory or 0, machine.memory, _show_memory),
        ("gpu", wants.gpu, machine.gpu, _show_number),
    )
    for name, amount, there, show in needed:
        total = amount * workers
        if total <= there + 1e-9:
            continue
        asked = f"{each}{show(amount)} {name}" + (f" = {show(total)} {name} in all" if each else "")
        yield Problem(
            "machine",
            f"{node.id!r} asks for {asked}, but this machine has {show(there)}: it could never start",
            f"ask for less in ar.Resources({name}=...)"
            + (" or for fewer workers in ar.Gang(...)" if each else ""),
            subject.where(node),
        )


def _show_number(amount: float) -> str:
    return f"{amount:g}"


def _show_memory(amount: float) -> str:
    return format_memory(int(amount))


def service_name_is_a_label(subject: Subject, node: ServiceNode) -> Iterator[Problem]:
    if not _SERVICE_NAME.fullmatch(node.service):
        yield Problem(
            "service-name",
            f"{node.service[:80]!r} can not be the name of a service",
            "use up to 63 of a-z, 0-9 and '-', the first a letter, the last not '-', such as 'fashion-mnist'",
            subject.where(node),
        )


def models_are_models(subject: Subject, node: ServiceNode) -> Iterator[Problem]:
    what = f"argument 'models' of service {node.service!r}"
    if node.models in (Literal([]), Collection(())):
        hint = "pass at least one: [model], or the list that a step returns"
        yield Problem("models", f"{what} is an empty list", hint, subject.where(node))
    for message, hint in argument_problems(node.models, _MODELS, subject.types, what):
        yield Problem("models", message, hint, subject.where(node))


def options_are_possible(subject: Subject, node: ServiceNode) -> Iterator[Problem]:
    for fault in faults(node.options, node.replicas, node.aggregate, _model_count(node.models)):
        rule = fault.place.partition(".")[0]
        message = f"{fault.place} of service {node.service!r}: {fault.message}"
        yield Problem(rule, message, fault.hint, subject.where(node))


def _model_count(models: Argument) -> int | None:
    """How many models there will be; None when only the run will show."""
    if not isinstance(models, Collection):
        return None
    return len(models.items)


def functions_are_in_the_snapshot(subject: Subject, node: ServiceNode) -> Iterator[Problem]:
    named = {
        "sharding.clean": node.options.sharding.clean,
        "ensemble.function": node.options.ensemble.function,
    }
    for place, function in named.items():
        if function is not None and function.source != subject.graph.source.digest:
            yield Problem(
                "function",
                f"{place} of service {node.service!r} is in snapshot {function.source[:80]!r}, "
                "which is not the graph's own",
                "send what `argosy graph FILE --format json` prints",
                subject.where(node),
            )


STEP_RULES = (
    code_has_a_name,
    output_has_a_serializer,
    types_are_readable,
    no_argument_is_missing,
    no_argument_is_unknown,
    arguments_fit,
    map_is_over_an_argument,
    arriving_stands_alone,
    gang_is_possible,
    resources_are_amounts,
    times_are_possible,
    machine_is_large_enough,
)
SERVICE_RULES = (
    service_name_is_a_label,
    models_are_models,
    options_are_possible,
    functions_are_in_the_snapshot,
    arriving_stands_alone,
)
