"""A user's function inside the router: loaded from its snapshot, bounded in time, and blamed by name."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import importlib
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from argosy.errors import InvalidRequest, Unavailable
from argosy.flow.service_options import FunctionReference
from argosy.serve.router.failures import FunctionFailed

CALL_SECONDS = 10.0
# Calls under way at once, those included that were given up and have not ended yet.
CALLS = 4


# Compiled code that keeps the interpreter to itself can not be given up: after this much more the process
# ends, and another takes its place.
FROZEN_SECONDS = 5.0


class _GivenUp(BaseException):
    """Raised inside a call that nobody waits for any more."""


class UserFunction:
    """Called in threads, so that whatever it does the router answers others meanwhile.

    A call that takes longer than ``seconds`` is given up, and ended where Python code can be ended.
    """

    def __init__(self, function: Any, name: str, root: Path, seconds: float = CALL_SECONDS) -> None:
        self.name = name
        self._function = function
        self._root = root
        self._seconds = seconds
        self._free = asyncio.Semaphore(CALLS)

    async def call(self, *arguments: Any) -> Any:
        """What the function returns. Raises FunctionFailed, or Unavailable when too many calls hang."""
        try:
            await asyncio.wait_for(self._free.acquire(), self._seconds)
        except TimeoutError:
            raise Unavailable(
                f"function {self.name} is busy: {CALLS} calls are under way and none ends",
                hint="mend what makes the function hang, and deploy again",
            ) from None
        # Before the call begins: it may be the last that this thread does.
        with _last_resort(self._seconds + FROZEN_SECONDS):
            call = _Call(self, arguments)
            try:
                async with asyncio.timeout(self._seconds):
                    return await call.outcome
            except TimeoutError:
                raise FunctionFailed(self.name, f"it did not return within {self._seconds:g} s") from None
            finally:
                call.give_up()

    def run(self, arguments: tuple[Any, ...]) -> Any:
        """In the thread. Raises FunctionFailed for whatever the function raises."""
        try:
            return self._function(*arguments)
        except _GivenUp:
            raise
        except BaseException as error:
            traceback.print_exc()
            raise FunctionFailed(self.name, f"{type(error).__name__}: {error}{self._line(error)}") from None

    def ended(self) -> None:
        self._free.release()

    def _line(self, error: BaseException) -> str:
        """Where it was raised: the innermost line that is the user's."""
        place = ""
        for frame in traceback.extract_tb(error.__traceback__):
            path = Path(frame.filename)
            if path.is_relative_to(self._root):
                place = f", at {path.relative_to(self._root)}:{frame.lineno}"
        return place


_guarded = 0


@contextlib.contextmanager
def _last_resort(seconds: float) -> Iterator[None]:
    """End the process, with all its stacks in the log, if this does not end: no Python code runs for that."""
    global _guarded
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    _guarded += 1
    try:
        yield
    finally:
        _guarded -= 1
        if not _guarded:
            faulthandler.cancel_dump_traceback_later()


class _Call:
    def __init__(self, function: UserFunction, arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Any] = self._loop.create_future()
        self._lock = threading.Lock()
        self._running = True
        # A daemon: the process ends though a function does not.
        self._thread = threading.Thread(target=self._run, name=function.name, daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        with self._lock:
            if self._running and self._thread.ident is not None:
                identity = ctypes.c_ulong(self._thread.ident)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(_GivenUp))

    def _run(self) -> None:
        result: Any = None
        failure: Exception | None = None
        try:
            try:
                result = self._function.run(self._arguments)
            finally:
                with self._lock:
                    self._running = False
        except Exception as error:
            failure = error
        except _GivenUp:
            failure = None
        # Once the loop has ended nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._done, result, failure)

    def _done(self, result: Any, failure: Exception | None) -> None:
        self._function.ended()
        if self.outcome.done():
            return
        if failure is not None:
            self.outcome.set_exception(failure)
        else:
            self.outcome.set_result(result)


def load(reference: FunctionReference, sources: str, what: str) -> UserFunction:
    """The function of a stored snapshot. Raises InvalidRequest that says why it can not be had."""
    root = Path(sources, reference.source)
    name = f"{reference.module}.{reference.function}"
    if not reference.source or not root.is_dir():
        raise InvalidRequest(
            f"{what} {name} can not be loaded: there is no source snapshot {reference.source!r}",
            hint="deploy again from the workflow's folder",
        )
    _make_room(Path(sources), root)
    try:
        found: Any = importlib.import_module(reference.module)
        for part in reference.function.split("."):
            found = getattr(found, part)
    except BaseException as error:
        raise InvalidRequest(f"{what} {name} can not be loaded: {type(error).__name__}: {error}") from error
    found = getattr(found, "function", found)
    if not callable(found):
        raise InvalidRequest(f"{what} {name} is {type(found).__name__}, expected a function")
    return UserFunction(found, name, root)


def _make_room(sources: Path, root: Path) -> None:
    """Put ``root`` first on the import path; modules of other snapshots may have the names of its own."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(sources) and not Path(file).is_relative_to(root):
            del sys.modules[name]
    folder = str(root)
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
