"""Folders of numbered versions: a newer complete version becomes a new revision by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from argosy.control.importing import Described, ModelFiles, write_whole
from argosy.errors import ArgosyError
from argosy.flow.service_options import ServiceOptions
from argosy.serve.models.importing import inspect

_LOG = logging.getLogger(__name__)
# Files have no news service that works on every disk.
_POLL_SECONDS = 1.0


class Watch(msgspec.Struct, frozen=True):
    """What is deployed when ``folder`` holds a version above ``version``."""

    service: str
    folder: str
    version: int
    replicas: tuple[int, int]
    aggregate: str
    options: ServiceOptions
    described: Described
    user: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a folder found: the newest ``version`` that counts, a ``fingerprint`` that changes with
    any of its files, and of the newest version that can not be served the number and the reason."""

    version: int = 0
    fingerprint: str = ""
    refused: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the newest version is not deployed: its ``fingerprint``, where it was tried, and the ``reason``."""

    fingerprint: str = ""
    reason: str = ""


def decide(trouble: Trouble, deployed: int, look: Look) -> tuple[Trouble, bool]:
    """What is wrong after another look, and whether the version seen is to be deployed now.

    A version that failed is tried again only when its files have changed or a newer one is there. One that
    can not be served is told of, unless a newer one can.
    """
    if look.version > deployed:
        known = trouble.fingerprint == look.fingerprint
        return (trouble, False) if known else (Trouble(), True)
    if look.refused > deployed:
        return Trouble(reason=f"version {look.refused} is not deployed: {look.reason}"), False
    return Trouble(), False


Deploy = Callable[[Watch, ModelFiles], Awaitable[None]]


@dataclass(slots=True)
class _Watched:
    watch: Watch
    trouble: Trouble = field(default_factory=Trouble)
    task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()


class FolderWatcher:
    """Looks at every watched folder once a second; what is watched is kept in ``file``."""

    def __init__(self, file: Path, deploy: Deploy, poll_seconds: float = _POLL_SECONDS) -> None:
        self._file = file
        self._deploy = deploy
        self._poll_seconds = poll_seconds
        self._watched: dict[str, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on watching what an earlier control plane watched."""
        try:
            watches = msgspec.json.decode(self._file.read_bytes(), type=list[Watch])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            _LOG.warning("%s can not be read, and no folder is watched: %s", self._file, error)
            return
        self._watched = {watch.service: _Watched(watch) for watch in watches}
        self._look_on()

    def watch(self, watch: Watch) -> None:
        """Watch the folder of a service instead of the one before."""
        known = self._watched.get(watch.service)
        if known is not None and known.watch == watch:
            return
        if known is not None:
            known.stop()
        self._watched[watch.service] = _Watched(watch)
        self._save()
        self._look_on()

    def forget(self, service: str) -> None:
        known = self._watched.pop(service, None)
        if known is not None:
            # What is being imported must not bring back a service that was deleted.
            known.stop()
            self._save()

    def watched(self, service: str) -> Watch | None:
        """What is watched for a service."""
        found = self._watched.get(service)
        return found.watch if found else None

    def fault(self, service: str) -> str:
        """Why the newest version of a service's folder was not deployed, or nothing."""
        watched = self._watched.get(service)
        return watched.trouble.reason if watched else ""

    async def close(self) -> None:
        tasks = [watched.task for watched in self._watched.values()]
        open_tasks = [task for task in (self._looking, *tasks) if task is not None]
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)

    def _save(self) -> None:
        watches = [watched.watch for watched in self._watched.values()]
        try:
            write_whole(self._file, msgspec.json.encode(watches))
        except OSError as error:
            _LOG.warning("%s can not be written: %s", self._file, error.strerror)

    def _look_on(self) -> None:
        if self._watched and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._watched:
            await asyncio.sleep(self._poll_seconds)
            for watched in self._watched.values():
                # One that takes long to deploy keeps no other waiting.
                if watched.task is None or watched.task.done():
                    watched.task = asyncio.get_running_loop().create_task(self._look_safely(watched))

    async def _look_safely(self, watched: _Watched) -> None:
        try:
            await self._look_at(watched)
        except Exception:
            _LOG.exception("folder %s could not be looked at", watched.watch.folder)

    async def _look_at(self, watched: _Watched) -> None:
        watch, folder = watched.watch, Path(watched.watch.folder)
        source, look = await asyncio.to_thread(_see, folder)
        watched.trouble, is_due = decide(watched.trouble, watch.version, look)
        if not is_due or source is None:
            return
        try:
            await self._deploy(watch, source)
        except ArgosyError as error:
            reason = f"version {look.version} is not deployed: {error.message}"
            _LOG.warning("service %s: %s", watch.service, reason)
            watched.trouble = Trouble(look.fingerprint, reason)
            return
        if self._watched.get(watch.service) is watched:
            watched.watch = msgspec.structs.replace(watch, version=look.version)
            self._save()


def _see(folder: Path) -> tuple[ModelFiles | None, Look]:
    """The newest version in a folder, if one can be served."""
    try:
        found = inspect(folder, patience_seconds=0.0)
    except (ArgosyError, OSError):
        return None, Look()
    newest = found.versions[-1]
    if not newest.number:
        return None, Look()
    # What is still being written is no trouble yet.
    settled = [one for one in found.refused if not one.changing]
    worst = max(settled, key=lambda one: one.number, default=None)
    look = Look(newest.number, newest.fingerprint)
    if worst is not None:
        look = replace(look, refused=worst.number, reason=worst.reason)
    return ModelFiles(folder, newest), look
