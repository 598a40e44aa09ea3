"""What a rank does: resolve the arguments, call the function, store what it returns."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec

from argosy.artifacts.store import ArtifactStore
from argosy.errors import ArgosyError, CorruptArtifact
from argosy.flow.results import misfit
from argosy.home import Home
from argosy.runtime import faults
from argosy.runtime.child import find_source
from argosy.runtime.frames import Finished, encode
from argosy.runtime.protocol import AttemptSpec, Cause, EntryCall, Outcome, StepCall

Result = tuple[Finished, int]


def execute(spec: AttemptSpec, rank: int, home: str) -> Result:
    """Do the work of one rank; (its account, the exit code). Raises nothing."""
    call = spec.call
    if isinstance(call, StepCall):
        return _step(call, rank, home, Path(spec.directory))
    assert isinstance(call, EntryCall)
    return _entry(call, rank)


def _step(call: StepCall, rank: int, home: str, scratch: Path) -> Result:
    source = f"{home}/sources/{call.source}"
    try:
        find_source(home, call.source)
        function = _function(call.module, call.function)
    except BaseException as error:
        return _failed(faults.of_import(error, call, source, rank))
    store = ArtifactStore(Home(Path(home)).artifacts, scratch=scratch)
    try:
        arguments = {name: store.get(value) for name, value in call.arguments.items()}
    except CorruptArtifact as error:
        return _failed(Outcome(Cause.CORRUPT_INPUT, str(error), rank=rank, error_type="CorruptArtifact"))
    except BaseException as error:
        return _failed(faults.of_step(error, source, rank))
    pid = os.getpid()
    try:
        result = function(**arguments)
    except SystemExit as error:
        outcome = faults.of_exit(error, source, rank)
        return Finished(outcome), outcome.exit_code or 0
    except BaseException as error:
        return _failed(faults.of_step(error, source, rank))
    if os.getpid() != pid or rank > 0:
        # A fork of the step that came back here has nothing to store; neither have other ranks.
        return Finished(Outcome(Cause.SUCCEEDED)), 0
    if refused := _misfit(function, result, call):
        return _failed(refused)
    return _store(store, result, call, source)


def _misfit(function: Any, result: object, call: StepCall) -> Outcome | None:
    found = misfit(function, result) if isinstance(function, FunctionType) else None
    if found is None:
        return None
    message = f"what {call.function} returned is not what it declares: {found[0]}\nhint: {found[1]}"
    return Outcome(Cause.ERROR, message, error_type="TypeError")


def _store(store: ArtifactStore, result: object, call: StepCall, source: str) -> Result:
    try:
        output = msgspec.Raw(encode(store.put(result, call.output)))
    except ArgosyError as error:
        message = f"what {call.function} returned can not be stored: {error}"
        return _failed(Outcome(Cause.ERROR, message, error_type=type(error).__name__))
    except BaseException as error:
        return _failed(faults.of_step(error, source, 0))
    return Finished(Outcome(Cause.SUCCEEDED), output), 0


def _entry(call: EntryCall, rank: int) -> Result:
    try:
        _function(call.module, call.function)(call.payload)
    except SystemExit as error:
        code = faults.exit_code(error)
        if code == 0:
            return Finished(Outcome(Cause.SUCCEEDED)), 0
        outcome = faults.of_exit(error, "", rank)
        return Finished(outcome), code
    except BaseException as error:
        return _failed(faults.of_step(error, "", rank))
    return Finished(Outcome(Cause.SUCCEEDED)), 0


def _function(module: str, name: str) -> Any:
    """The plain function behind ``module.name``, be it a step or a function."""
    found: Any = sys.modules.get(module) or import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return getattr(found, "function", found)


def _failed(outcome: Outcome) -> Result:
    return Finished(outcome), 1
