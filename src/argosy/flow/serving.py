"""What ``serve`` was given, as the options of a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from argosy.flow.annotations import Refused
from argosy.flow.origin import Origin
from argosy.flow.service_functions import function_of_trace
from argosy.flow.service_options import Access, FunctionReference, ServiceOptions
from argosy.flow.service_reading import OptionReader
from argosy.flow.service_rules import Fault

_GROUPS = ("strategy", "scaling", "batching", "balancing", "sharding", "ensemble", "release")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """A service but for its models."""

    name: str = ""
    replicas: tuple[int, int] = (1, 1)
    aggregate: str = "mean"
    options: ServiceOptions = field(default_factory=ServiceOptions)


def service_options(given: Mapping[str, object], origin: Origin) -> tuple[ServiceOptions, list[Fault]]:
    """The options that the keyword arguments of ``serve`` stand for (None: not given), and what is wrong."""
    reader = OptionReader()
    tree: dict[str, Any] = {name: given[name] for name in _GROUPS if given.get(name) is not None}
    for group, option, argument in (("sharding", "clean", "clean"), ("ensemble", "function", "function")):
        if given.get(argument) is not None:
            reference = _function(given[argument], argument, origin, reader)
            if reference is not None:
                _put(tree, group, option, reference)
    if given.get("weights") is not None:
        _put(tree, "ensemble", "weights", given["weights"])
    access = _access(given.get("limits"), given.get("require_token"))
    if access:
        tree["access"] = access
    options = reader.struct(ServiceOptions, tree)
    return options, reader.faults


def _function(
    function: object, argument: str, origin: Origin, reader: OptionReader
) -> FunctionReference | None:
    try:
        return function_of_trace(function, origin)
    except Refused as refused:
        reader.faults.append(Fault(argument, refused.message, refused.hint))
        return None


def _put(tree: dict[str, Any], group: str, option: str, value: object) -> None:
    """Set one option of a group that was given as a struct, a mapping or not at all."""
    tree[group] = {**_plain(tree.get(group, {})), option: value}


def _plain(group: Any) -> Mapping[str, Any]:
    if isinstance(group, msgspec.Struct):
        return {name: getattr(group, name) for name in group.__struct_fields__}
    return group if isinstance(group, Mapping) else {}


def _access(limits: object, require_token: object) -> dict[str, object]:
    """``limits`` is a TierLimit for each tier, or a whole Access."""
    access: dict[str, object] = {}
    if isinstance(limits, Access):
        access.update(_plain(limits))
    elif limits is not None:
        access["tiers"] = limits
    if require_token is not None:
        access["require_token"] = require_token
    return access
