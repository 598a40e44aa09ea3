"""When a version in a watched folder is deployed: decided on what was seen alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from argosy.control.folders import FolderWatcher, Look, Trouble, Watch, decide
from argosy.control.importing import Described, ModelFiles
from argosy.errors import ArgosyError, RunFailed
from argosy.flow.service_options import ServiceOptions

from .models import make_model

NEW = Look(version=2, fingerprint="two")


def test_a_newer_version_is_deployed_and_an_equal_or_older_one_is_not() -> None:
    assert decide(Trouble(), 1, NEW) == (Trouble(), True)
    assert decide(Trouble(), 2, NEW) == (Trouble(), False)
    assert decide(Trouble(), 3, NEW) == (Trouble(), False)


def test_a_version_that_failed_is_tried_again_only_when_its_files_change() -> None:
    failed = Trouble("two", "version 2 is not deployed: it is damaged")
    assert decide(failed, 1, NEW) == (failed, False)
    assert decide(failed, 1, Look(2, "two, mended")) == (Trouble(), True)
    assert decide(failed, 1, Look(3, "three")) == (Trouble(), True)


def test_a_version_that_can_not_be_served_is_told_of_until_it_is_gone() -> None:
    look = Look(version=1, fingerprint="one", refused=2, reason="it has no model.onnx")
    told, due = decide(Trouble(), 1, look)
    assert (told.reason, due) == ("version 2 is not deployed: it has no model.onnx", False)
    assert decide(told, 1, Look(1, "one")) == (Trouble(), False)


@given(
    looks=st.lists(st.builds(Look, version=st.integers(0, 5), fingerprint=st.sampled_from("abc"))),
    works=st.sampled_from("abc"),
)
def test_versions_only_rise_and_nothing_that_failed_is_tried_twice_in_a_row(
    looks: list[Look], works: str
) -> None:
    trouble, deployed = Trouble(), 1
    for look in looks:
        trouble, due = decide(trouble, deployed, look)
        if not due:
            continue
        assert look.version > deployed
        if look.fingerprint == works:
            deployed = look.version
        else:
            trouble = Trouble(look.fingerprint, "it failed")
            assert decide(trouble, deployed, look) == (trouble, False)


class Folder:
    """A watched folder of versions, and what was deployed of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.file = root / "versions", root / "watches.json"
        make_model(self.root / "1", 1)
        self.begun: list[str] = []
        self.deployed: list[int] = []
        self.faults: list[ArgosyError] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def deploy(self, watch: Watch, source: ModelFiles) -> None:
        self.begun.append(watch.service)
        await self.hold.wait()
        self.deployed.append(source.version)
        if self.faults:
            raise self.faults.pop()

    def watcher(self) -> FolderWatcher:
        return FolderWatcher(self.file, self.deploy, poll_seconds=0.01)

    def watch(self, service: str = "digits") -> Watch:
        return Watch(service, str(self.root), 1, (1, 1), "mean", ServiceOptions(), Described())

    def publish(self, number: int) -> None:
        make_model(self.root.parent / f"made-{number}", number).rename(self.root / str(number))


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        # What is waited for happens in files and other tasks, which set no event.
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_watcher_deploys_remembers_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        folder = Folder(tmp_path)
        first = folder.watcher()
        first.watch(folder.watch())
        folder.publish(2)
        await until(lambda: folder.deployed == [2])
        await until(lambda: b'"version":2' in folder.file.read_bytes())
        await first.close()
        second = folder.watcher()
        second.start()
        folder.publish(3)
        await until(lambda: folder.deployed == [2, 3])
        second.forget("digits")
        assert folder.file.read_bytes() == b"[]"
        await second.close()

    asyncio.run(scenario())


def test_what_could_not_be_deployed_is_told_until_its_files_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        folder = Folder(tmp_path)
        folder.faults = [RunFailed("it never answers")]
        watcher = folder.watcher()
        watcher.watch(folder.watch())
        folder.publish(2)
        await until(lambda: watcher.fault("digits"))
        assert watcher.fault("digits") == "version 2 is not deployed: it never answers"
        (folder.root / "2" / "labels.json").write_text('["changed"]')
        await until(lambda: folder.deployed == [2, 2])
        await until(lambda: not watcher.fault("digits"))
        await watcher.close()

    asyncio.run(scenario())


def test_a_service_that_is_forgotten_while_a_version_is_taken_stays_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        folder = Folder(tmp_path)
        folder.hold.clear()
        watcher = folder.watcher()
        watcher.watch(folder.watch("held"))
        watcher.watch(folder.watch("other"))
        folder.publish(2)
        await until(lambda: sorted(folder.begun) == ["held", "other"])
        watcher.forget("held")
        folder.hold.set()
        await until(lambda: folder.deployed)
        await watcher.close()
        assert folder.deployed == [2]
        assert watcher.watched("held") is None

    asyncio.run(scenario())


def test_a_file_of_watches_that_is_damaged_stops_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        folder = Folder(tmp_path)
        folder.file.write_bytes(b"{")
        watcher = folder.watcher()
        watcher.start()
        watcher.watch(folder.watch())
        folder.publish(2)
        await until(lambda: folder.deployed == [2])
        await watcher.close()

    asyncio.run(scenario())
