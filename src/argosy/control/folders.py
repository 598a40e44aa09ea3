"""Folders of numbered versions: a newer complete version becomes a new revision by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from argosy.control.importing import Described, ModelFiles, look_at, write_whole
from argosy.errors import ArgosyError
from argosy.flow.service_options import ServiceOptions

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
class Seen:
    """The newest version of a folder, and a text that changes with any of its files."""

    version: int
    state: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of versions above the one deployed: ``last`` was seen at the last look, ``failed`` could
    not be deployed, for this ``reason``."""

    last: Seen | None = None
    failed: Seen | None = None
    reason: str = ""


def decide(candidate: Candidate, deployed: int, seen: Seen | None) -> tuple[Candidate, bool]:
    """What is known after another look, and whether the version seen is to be deployed now.

    Whoever writes a version takes time: it is deployed when two looks have seen the same of it. One that
    failed is tried again only when its files have changed or a newer one is there.
    """
    if seen is None or seen.version <= deployed:
        return Candidate(), False
    known = replace(candidate, last=seen)
    if seen == candidate.failed:
        return known, False
    return known, seen == candidate.last


Deploy = Callable[[Watch, ModelFiles], Awaitable[None]]


@dataclass(slots=True)
class _Watched:
    watch: Watch
    candidate: Candidate = field(default_factory=Candidate)


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
        self._watched[watch.service] = _Watched(watch)
        self._save()
        self._look_on()

    def forget(self, service: str) -> None:
        if self._watched.pop(service, None) is not None:
            self._save()

    def watched(self, service: str) -> Watch | None:
        """What is watched for a service."""
        found = self._watched.get(service)
        return found.watch if found else None

    def fault(self, service: str) -> str:
        """Why the newest version of a service's folder was not deployed, or nothing."""
        watched = self._watched.get(service)
        return watched.candidate.reason if watched else ""

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

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
            for watched in list(self._watched.values()):
                try:
                    await self._look_at(watched)
                except Exception:
                    _LOG.exception("folder %s could not be looked at", watched.watch.folder)

    async def _look_at(self, watched: _Watched) -> None:
        folder = Path(watched.watch.folder)
        source, seen = await asyncio.to_thread(_see, folder)
        watched.candidate, is_due = decide(watched.candidate, watched.watch.version, seen)
        if not is_due or seen is None or source is None:
            return
        try:
            await self._deploy(watched.watch, source)
        except ArgosyError as error:
            reason = f"version {seen.version} in {folder} was not deployed: {error.message}"
            _LOG.warning("service %s: %s", watched.watch.service, reason)
            watched.candidate = Candidate(seen, seen, reason)
            return
        watched.candidate = Candidate()
        if self._watched.get(watched.watch.service) is watched:
            watched.watch = msgspec.structs.replace(watched.watch, version=seen.version)
            self._save()


def _see(folder: Path) -> tuple[ModelFiles | None, Seen | None]:
    """The newest version in a folder; None while there is none."""
    try:
        source = look_at(folder)
        files = sorted(path for path in source.folder.rglob("*"))
        states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except (ArgosyError, OSError):
        return None, None
    if not source.versions:
        return None, None
    return source, Seen(source.version, repr(states))
