"""Goes through the motions of a trivial step, so that doing them for real is quick.

Forking copies no memory: each page is copied when it is first written to, which even reading a Python object
does, and the faults cost more than the work. A template rehearses so that its code is warm, an idle child
so that its pages are its own before anyone waits for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import msgspec

from argosy import reporting
from argosy.artifacts.reference import Inline
from argosy.artifacts.store import ArtifactStore
from argosy.errors import ArgosyError
from argosy.runtime import linux, surroundings
from argosy.runtime.frames import Finished, RawGo, decode_go, encode, frame, raw
from argosy.runtime.protocol import AttemptId, AttemptSpec, Cause, Outcome, StepCall

# The interpreter adapts code to what it sees after a few runs.
_TIMES = 16
# Nothing can be made below it.
_NOWHERE = "/proc/argosy"

_value = Inline(msgspec.Raw(b"1"))
_call = StepCall("", "argosy.runtime.rehearsal", "rehearse", {"value": _value}, "json")
_spec = AttemptSpec(AttemptId(""), 0, _call, _NOWHERE, f"{_NOWHERE}/{{rank}}.log")
_work = encode(RawGo(0, raw(_spec)))


def rehearse() -> None:
    """Once through, without a trace outside this process."""
    go = decode_go(_work)
    with contextlib.suppress(OSError):
        surroundings.open_log(go.spec, go.rank, -1)
    with contextlib.suppress(OSError):
        surroundings.enter_scratch(go.spec)
    surroundings.set_environment(go.spec, go)
    directory = Path(go.spec.directory)
    reporting.install(reporting.CurrentAttempt("", 0, 1, directory, None, lambda kind, body: None))
    store = ArtifactStore(directory / "artifacts", scratch=directory)
    for value in _call.arguments.values():
        store.get(value)
    with contextlib.suppress(ArgosyError):
        store.put(1, "json")
    frame(Finished(Outcome(Cause.SUCCEEDED), raw(_value)))
    reporting.install(None)
    linux.is_tied()
    sys.stdout.flush()
    sys.stderr.flush()
    os.getppid()


def rehearse_often() -> None:
    """Until the code is as quick as it gets."""
    for _ in range(_TIMES):
        rehearse()
