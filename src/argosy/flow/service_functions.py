"""A user's function that a service calls: where it is, and the code it needs."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from argosy.errors import InvalidRequest, NotFound
from argosy.flow.annotations import Refused
from argosy.flow.imports import check_names
from argosy.flow.loading import checked_file
from argosy.flow.origin import Origin
from argosy.flow.service_options import FunctionReference
from argosy.flow.sources import SourceTree, snapshot_digest


@dataclass(frozen=True, slots=True)
class FoundFunction:
    """``texts`` is the snapshot that ``reference`` names: relative path → text."""

    reference: FunctionReference
    texts: dict[str, str]


def function_in_file(text: str, folder: Path) -> FoundFunction:
    """The function that ``FILE.py:FUNCTION`` names, FILE seen from ``folder``; its code is read, not run.

    Raises InvalidRequest or NotFound.
    """
    name, colon, function = text.rpartition(":")
    if not colon or not name or not function.isidentifier():
        raise InvalidRequest(
            f"{text!r} is not FILE.py:FUNCTION", hint="write, for instance, cleaning.py:drop_empty"
        )
    file = checked_file(folder / name)
    tree = SourceTree(file.parent)
    module = tree.add(file.stem, file)
    check_names(tree, file.stem)
    try:
        defined = _functions(module.tree)
        texts = tree.texts(file.stem)
    except SyntaxError as error:
        raise InvalidRequest(
            f"{name}:{error.lineno}: {error.msg}", hint="mend the line; it is not Python yet"
        ) from None
    if function not in defined:
        near = difflib.get_close_matches(function, defined, n=1)
        listed = f"it defines {', '.join(defined)}" if defined else "write it at the top level of the file"
        raise NotFound(
            f"{name} defines no function {function!r}",
            hint=f"did you mean {near[0]!r}?" if near else listed,
        )
    return FoundFunction(FunctionReference(snapshot_digest(texts), file.stem, function), texts)


def _functions(tree: ast.Module) -> list[str]:
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def function_of_trace(function: object, origin: Origin) -> FunctionReference:
    """A Python function of a traced workflow's own modules. Raises Refused for what no process would find."""
    if not isinstance(function, FunctionType):
        raise Refused(
            f"{function!r} is not a function", "give the function itself, not its name or its result"
        )
    found: object = function.__globals__.get(function.__name__)
    if found is not function:
        raise Refused(
            f"no process can find {function.__qualname__!r}: it is not at the top level of its module",
            "define it with def at the top level of the workflow's file, under a name of its own",
        )
    reader, module, _ = origin.locate(function)
    if reader is not origin.reader:
        raise Refused(
            f"{function.__module__}.{function.__name__} is not in the workflow's own folder",
            "call it from a function in the workflow's file, and give that one",
        )
    return FunctionReference(origin.reference.digest, module, function.__name__)
