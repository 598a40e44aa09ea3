"""Watchers see the present, the changes and the end."""

from __future__ import annotations

import asyncio

from argosy.api.views import RunView
from argosy.control.watching import Watchers


class Runs:
    """One run whose state the test sets."""

    def __init__(self) -> None:
        self.state = "running"
        self.views = 0
        self.watchers = Watchers(self.view, lambda run: self.state != "running")

    def view(self, run: str) -> RunView:
        self.views += 1
        return RunView(run, "demo", self.state, 0.0, reason=str(self.views))

    def end(self) -> None:
        self.state = "succeeded"
        self.watchers.changed("r")


async def states(runs: Runs) -> list[str]:
    return [view.state async for view in runs.watchers.watch("r")]


def test_a_run_that_is_over_is_seen_once() -> None:
    async def scenario() -> None:
        runs = Runs()
        runs.state = "failed"
        assert await states(runs) == ["failed"]

    asyncio.run(scenario())


def test_the_end_is_told_at_once_and_to_every_watcher() -> None:
    async def scenario() -> None:
        runs = Runs()
        watching = [asyncio.create_task(states(runs)) for _ in range(3)]
        await asyncio.sleep(0)
        runs.end()
        async with asyncio.timeout(0.15):
            for seen in await asyncio.gather(*watching):
                assert seen == ["running", "succeeded"]

    asyncio.run(scenario())


def test_a_burst_of_changes_is_seen_as_few_views() -> None:
    async def scenario() -> None:
        runs = Runs()
        watching = asyncio.create_task(states(runs))
        await asyncio.sleep(0)
        for _ in range(1000):
            runs.watchers.changed("r")
            await asyncio.sleep(0)
        runs.end()
        await watching
        assert runs.views <= 10

    asyncio.run(scenario())


def test_a_watcher_that_leaves_is_forgotten() -> None:
    async def scenario() -> None:
        runs = Runs()
        watch = runs.watchers.watch("r")
        await anext(watch)
        await watch.aclose()  # type: ignore[attr-defined]
        assert not runs.watchers._waiting

    asyncio.run(scenario())
