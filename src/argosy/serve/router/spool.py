"""An answer that is kept until it is whole: in memory while it is small, then in a file."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO

from argosy import reporting
from argosy.serve.router.failures import StorageFull

MEMORY_BYTES = 4 * 2**20
_CHUNK_BYTES = 256 * 2**10
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def scratch_file() -> IO[bytes]:
    """A file without a name, which is gone when it is closed, whoever closes it."""
    return tempfile.TemporaryFile(dir=reporting.current().directory)


class Spool:
    """Bytes, appended and then read once. Raises StorageFull when they do not fit on the disk."""

    def __init__(self, memory: int = MEMORY_BYTES, open_file: Callable[[], IO[bytes]] = scratch_file) -> None:
        self.length = 0
        self._memory = memory
        self._open_file = open_file
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        self.length += len(data)
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes > self._memory:
            self._to_file()
            # Small pieces are gathered before each write.
            self._memory = min(self._memory, _CHUNK_BYTES)

    def pieces(self) -> Sequence[bytes] | IO[bytes]:
        """What was written: pieces when it is all in memory, else the file, from its beginning."""
        if self._file is None:
            return self._kept
        self._to_file()
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        self._kept = []
        if self._file is not None:
            # What a full disk did not take is tried once more by closing; nobody wants it.
            with contextlib.suppress(OSError):
                self._file.close()

    def _to_file(self) -> None:
        try:
            if self._file is None:
                self._file = self._open_file()
            self._file.writelines(self._kept)
            self._file.flush()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise StorageFull(
                f"the answer does not fit on the disk: after {self.length} bytes, {error.strerror}",
                hint="free space, or ask for fewer instances in a request",
            ) from None
        self._kept, self._kept_bytes = [], 0


async def stream(parts: Sequence[bytes | Spool]) -> AsyncIterator[bytes]:
    """One after the other; every spool is closed at the end, and when nobody reads on."""
    try:
        for part in parts:
            if isinstance(part, bytes):
                yield part
                continue
            pieces = part.pieces()
            if isinstance(pieces, Sequence):
                yield b"".join(pieces)
                continue
            while chunk := pieces.read(_CHUNK_BYTES):
                yield chunk
    finally:
        for part in parts:
            if isinstance(part, Spool):
                part.close()
