"""How nodes are named: ids that are safe anywhere, and labels that tell siblings apart."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from argosy.flow.graph import Argument, Collection, Literal, NodeId, Reference

NODE_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
LONGEST_ID = 63
LONGEST_VALUE = 40


def base_name(name: str) -> str:
    """A step's name as the start of a node id: lower case, only letters, digits, ``_``, ``.`` and ``-``."""
    safe = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).lstrip("_.-")
    return safe[:LONGEST_ID] or "step"


def assign_ids(bases: Sequence[str], explicit: Sequence[str | None]) -> list[NodeId]:
    """An id for each node: its explicit one, its base, or base-1 … base-n where the base occurs n times."""
    taken = {name for name in explicit if name is not None}
    counts = Counter(base for base, name in zip(bases, explicit, strict=True) if name is None)
    # A base that is an id by itself is taken before a numbered one could be.
    taken.update(base for base, count in counts.items() if count == 1)
    numbers: Counter[str] = Counter()
    ids: list[NodeId] = []
    for base, name in zip(bases, explicit, strict=True):
        if name is not None:
            ids.append(NodeId(name))
        elif counts[base] == 1 and base not in explicit:
            ids.append(NodeId(base))
        else:
            ids.append(_next_free(base, numbers, taken))
    return ids


def _next_free(base: str, numbers: Counter[str], taken: set[str]) -> NodeId:
    while True:
        numbers[base] += 1
        suffix = f"-{numbers[base]}"
        name = base[: LONGEST_ID - len(suffix)] + suffix
        if name not in taken:
            taken.add(name)
            return NodeId(name)


def labels(siblings: Sequence[Mapping[str, Argument]]) -> list[str]:
    """What tells the calls of one step apart: the literals that differ, or else the results that differ."""
    if len(siblings) < 2:
        return [""] * len(siblings)
    for kind in ((Literal,), (Reference, Collection)):
        names = [
            name
            for name in dict.fromkeys(name for arguments in siblings for name in arguments)
            if _differs([arguments.get(name) for arguments in siblings], kind)
        ]
        if names:
            return [_label(arguments, names) for arguments in siblings]
    return [""] * len(siblings)


def _differs(values: Sequence[Argument | None], kind: tuple[type, ...]) -> bool:
    if not any(isinstance(value, kind) for value in values):
        return False
    first = values[0]
    return any(value != first or _is_other_kind(value, first) for value in values)


def _is_other_kind(value: Argument | None, other: Argument | None) -> bool:
    """1, 1.0 and True are equal in Python and differ as JSON."""
    if not isinstance(value, Literal) or not isinstance(other, Literal):
        return False
    return type(value.value) is not type(other.value)


def _label(arguments: Mapping[str, Argument], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={_shown(arguments[name])}" for name in names if name in arguments)


def _shown(argument: Argument) -> str:
    match argument:
        case Literal(value):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        case Reference(node):
            text = node
        case _:
            text = "[" + ", ".join(map(_shown, argument.items)) + "]"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
