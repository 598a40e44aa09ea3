"""A user's function, called where it can do no harm."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import InvalidRequest, Unavailable
from argosy.flow.service_options import FunctionReference
from argosy.serve.router.failures import FunctionFailed
from argosy.serve.router.functions import CALLS, UserFunction, load

from ..harness import asynchronous, until  # noqa: TID252
from .standin import source

TEXT = """
import helper{number}

def value():
    return helper{number}.VALUE

class Steps:
    @staticmethod
    def nested():
        return 5

number = 3
"""


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """What a test imports is gone after it."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def stored(folder: Path, number: int) -> FunctionReference:
    named = source(folder, TEXT.format(number=number), "value", f"digest{number}")
    (folder / "sources" / f"digest{number}" / f"helper{number}.py").write_text(f"VALUE = {number}\n")
    return FunctionReference(**named)


@asynchronous
async def test_modules_of_one_name_in_two_snapshots_are_kept_apart(tmp_path: Path) -> None:
    functions = [load(stored(tmp_path, number), str(tmp_path / "sources"), "it") for number in (1, 2)]
    assert [await function.call() for function in functions] == [1, 2]


@asynchronous
async def test_a_function_that_can_not_be_had_says_why(tmp_path: Path) -> None:
    good = stored(tmp_path, 3)
    folder = str(tmp_path / "sources")
    nested = FunctionReference(good.source, good.module, "Steps.nested")
    assert await load(nested, folder, "it").call() == 5
    for reference, words in [
        (FunctionReference("other", "mine", "value"), "no source snapshot 'other'"),
        (
            FunctionReference(good.source, "yours", "value"),
            "it yours.value can not be loaded: ModuleNotFound",
        ),
        (
            FunctionReference(good.source, "mine", "values"),
            "it mine.values can not be loaded: AttributeError",
        ),
        (FunctionReference(good.source, "mine", "number"), "it mine.number is int, expected a function"),
    ]:
        with pytest.raises(InvalidRequest) as caught:
            load(reference, folder, "it")
        assert words in caught.value.message


@asynchronous
async def test_a_call_that_does_not_return_is_ended() -> None:
    def loops() -> None:
        while True:
            pass

    function = UserFunction(loops, "mine.loops", Path("/nowhere"), seconds=0.1)
    for _ in range(CALLS + 1):
        with pytest.raises(FunctionFailed, match=r"mine\.loops failed: it did not return within 0\.1 s"):
            await function.call()
    await until(lambda: not _threads("mine.loops"), "the threads to end")


@asynchronous
async def test_calls_that_nothing_ends_leave_the_next_an_error() -> None:
    release = threading.Event()

    def hangs() -> Any:
        return release.wait()

    function = UserFunction(hangs, "mine.hangs", Path("/nowhere"), seconds=0.1)
    for _ in range(CALLS):
        with pytest.raises(FunctionFailed):
            await function.call()
    with pytest.raises(Unavailable, match="4 calls are under way and none ends"):
        await function.call()
    release.set()
    await until(lambda: not _threads("mine.hangs"), "the threads to end")
    assert await function.call() is True


@asynchronous
async def test_a_caller_that_no_longer_waits_ends_its_call() -> None:
    begun = threading.Event()

    def loops() -> None:
        begun.set()
        while True:
            pass

    call = asyncio.create_task(UserFunction(loops, "mine.left", Path("/nowhere")).call())
    await until(begun.is_set, "the call to begin")
    call.cancel()
    await until(lambda: not _threads("mine.left"), "the thread to end")
    assert call.cancelled()


def _threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]
