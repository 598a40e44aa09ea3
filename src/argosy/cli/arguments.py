"""``FILE[:WORKFLOW] [--PARAM VALUE ...]``: what a command line says before the workflow is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from argosy.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Target:
    """The file, the name of the workflow in it (None: its only one), and the parameters as text. A parameter
    without a value is None: the flag form of a bool."""

    file: Path
    workflow: str | None
    parameters: Mapping[str, str | None]


def parse_target(words: Sequence[str], command: str) -> Target:
    """Raises InvalidRequest for a line that is not of this form."""
    if not words or words[0].startswith("--"):
        raise InvalidRequest(
            f"the FILE of a workflow comes first, not {words[0]}"
            if words
            else "the FILE of a workflow is missing",
            hint=f"argosy {command} FILE[:WORKFLOW] [--PARAM VALUE ...]",
        )
    path, workflow = _split(words[0])
    return Target(path, workflow, _parameters(words[1:], words[0], command))


def _split(text: str) -> tuple[Path, str | None]:
    """The workflow's name is after the last colon, unless a file of the whole name is there."""
    file, colon, workflow = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), None
    if not file or not workflow.isidentifier():
        raise InvalidRequest(
            f"{text!r} is not FILE or FILE:WORKFLOW", hint="write, for instance, fashion.py:fashion_mnist"
        )
    return Path(file), workflow


def _parameters(words: Sequence[str], file: str, command: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            continue
        if not word.startswith("--"):
            raise InvalidRequest(
                f"{word!r} belongs to no parameter",
                hint=f"write parameters as --PARAM VALUE; 'argosy {command} {file} --help' lists them",
            )
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name in found:
            raise InvalidRequest(f"parameter --{name} is given twice", hint="give it once")
        if equals:
            found[name] = value
        elif rest and not rest[0].startswith("--"):
            found[name] = rest.pop(0)
        else:
            found[name] = None
    return found
