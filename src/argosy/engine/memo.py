"""Memoization by content: what a result depends on, as one key, and what changed when a key misses."""

from __future__ import annotations

import hashlib

import msgspec

from argosy.artifacts.reference import Value, fingerprint
from argosy.flow.graph import StepNode
from argosy.units import format_duration


def memo_parts(node: StepNode, inputs: dict[str, Value]) -> dict[str, str]:
    """What a result depends on: ``code`` parts, ``input`` fingerprints, ``version``, ``output`` type."""
    parts = {f"code {name}": digest for name, digest in node.code.parts.items()}
    parts |= {f"input {name}": _short(fingerprint(value)) for name, value in inputs.items()}
    parts["version"] = node.memoize.version if node.memoize else ""
    parts["output"] = node.output
    parts["code"] = node.code.digest
    return parts


def _short(text: str) -> str:
    return text if len(text) <= 80 else hashlib.sha256(text.encode()).hexdigest()


def memo_key(node: StepNode, parts: dict[str, str]) -> str:
    """sha256 of the step's name and its parts."""
    return hashlib.sha256(msgspec.json.encode([node.step, parts], order="sorted")).hexdigest()


def explain_miss(parts: dict[str, str], latest: dict[str, str] | None) -> str:
    """Why no result could be reused, seen from the latest one of the same step."""
    if latest is None:
        return "no earlier result of this step"
    changed = [name for name in sorted(parts.keys() | latest.keys()) if parts.get(name) != latest.get(name)]
    named = [name for name in changed if name != "code"] or changed
    if not named:
        return "the earlier result was dropped"
    return "changed since the latest result: " + ", ".join(named[:4]) + (", ..." if len(named) > 4 else "")


def explain_expiry(age_seconds: float, max_age_seconds: float) -> str:
    return (
        f"the earlier result is {format_duration(age_seconds)} old,"
        f" over max_age {format_duration(max_age_seconds)}"
    )


def explain_hit(run: str, node: str, age_seconds: float) -> str:
    return f"equal code and inputs: result of {run} {node}, {format_duration(max(age_seconds, 0))} ago"
