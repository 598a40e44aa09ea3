"""Who asked how much of what, and how often refused: the gateway's log becomes rows of the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from argosy.clock import Clock
from argosy.errors import ArgosyError
from argosy.metadata.records import AuditPosition, AuditRecord
from argosy.serve.access.audit_lines import count
from argosy.serve.gateway.files import make_audit_log
from argosy.serve.http.client import Client, RequestFailed

log = logging.getLogger(__name__)

ROTATE_BYTES = 64 * 2**20
KEEP_SECONDS = 400 * 86400.0

_LOG = "gateway"
_CHUNK_BYTES = 4 * 2**20
_ADMIN_SECONDS = 5.0
_FORGET_EVERY_SECONDS = 86400.0


class AuditRecords(Protocol):
    """What of the metadata store is used here."""

    def add_audit(self, counted: Iterable[AuditRecord], position: AuditPosition) -> None: ...

    def audit_position(self, log: str) -> AuditPosition | None: ...

    def audit(
        self, since: float = 0.0, user: str | None = None, service: str | None = None
    ) -> list[AuditRecord]: ...

    def forget_audit(self, before: float) -> int: ...


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Whose requests, to which service, since when; None is all. Without a token ``user`` is empty."""

    user: str | None = None
    service: str | None = None
    since: float = 0.0

    def rows(self, records: AuditRecords) -> list[AuditRecord]:
        """By hour, oldest first."""
        return records.audit(self.since, self.user, self.service)


class AuditReader:
    """Counts what the gateway writes, and keeps its log short.

    Each line is counted once, whatever ends in between: how far it is counted is stored in the transaction
    that adds the counts. At ``rotate_bytes`` the log is renamed, and removed when all of it is counted.
    """

    def __init__(
        self,
        records: AuditRecords,
        file: Path,
        admin_socket: str,
        clock: Clock,
        rotate_bytes: int = ROTATE_BYTES,
    ) -> None:
        self._records = records
        self._file = file
        self._old = file.with_name(f"{file.stem}.1{file.suffix}")
        self._admin_socket = admin_socket
        self._clock = clock
        self._rotate_bytes = rotate_bytes
        self._position: AuditPosition | None = None
        self._trouble = ""
        self._forgotten_at = 0.0
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, every_seconds: float = 1.0) -> None:
        """Read from now on, until :meth:`close`."""
        self._task = asyncio.get_running_loop().create_task(self.run(every_seconds))

    async def run(self, every_seconds: float = 1.0) -> None:
        """Read and rotate until :meth:`close`. What goes wrong is logged, and tried again."""
        while not self._stopped.is_set():
            await self.turn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), every_seconds)

    async def close(self) -> None:
        self._stopped.set()
        if self._task is not None:
            await self._task

    async def turn(self) -> None:
        """Count what is there, then rotate if it is time."""
        try:
            while await asyncio.to_thread(self.read):
                pass
            await self._rotate()
            self._forget()
        except (ArgosyError, OSError) as error:
            self._complain(str(error))
        else:
            self._trouble = ""

    def read(self) -> bool:
        """Count the next part; whether there may be more. Raises Unavailable, and then nothing is counted."""
        if self._position is None:
            self._position = self._records.audit_position(_LOG) or AuditPosition(_LOG, 0, 0)
        if self._old.exists():
            if self._is_behind(self._old) and self._read(self._old):
                return True
            if _size(self._file):
                # Envoy writes to the new file, so nothing more comes to the old one.
                if self._is_behind(self._old) and self._read(self._old):
                    return True
                self._old.unlink(missing_ok=True)
            else:
                return False
        return self._read(self._file)

    def _is_behind(self, old: Path) -> bool:
        """Whether the old file is not yet counted: the position never goes back from the new one to it."""
        assert self._position is not None
        try:
            return self._position.file != self._file.stat().st_ino
        except FileNotFoundError:
            return True

    def _read(self, file: Path) -> bool:
        assert self._position is not None
        if not file.exists():
            return False
        with open(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            offset = self._position.offset if self._position.file == status.st_ino else 0
            start = opened.seek(offset if offset <= status.st_size else 0)
            chunk = opened.read(_CHUNK_BYTES)
        # A line without its end is still being written.
        whole = chunk.rfind(b"\n") + 1
        if not whole:
            return False
        position = AuditPosition(_LOG, status.st_ino, start + whole)
        self._records.add_audit(count(chunk[:whole]), position)
        self._position = position
        return len(chunk) == _CHUNK_BYTES

    async def _rotate(self) -> None:
        if self._old.exists():
            if not _size(self._file):
                await self._reopen()
        elif _size(self._file) >= self._rotate_bytes:
            self._file.rename(self._old)
            make_audit_log(self._file)
            await self._reopen()

    def _forget(self) -> None:
        now = self._clock.now()
        if now - self._forgotten_at > _FORGET_EVERY_SECONDS:
            self._records.forget_audit(now - KEEP_SECONDS)
            self._forgotten_at = now

    async def _reopen(self) -> None:
        """Without an Envoy there is nobody to tell: the next one opens the new file."""
        client = Client(self._admin_socket)
        try:
            await client.request("POST", "/reopen_logs", timeout_seconds=_ADMIN_SECONDS)
        except RequestFailed as error:
            log.debug("the gateway's log is not opened anew: %s", error)
        finally:
            client.close()

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("requests are not counted for now: %s", trouble)
        self._trouble = trouble


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
