"""Where a value of a JSON list or object ends, in text that comes in pieces."""

from __future__ import annotations

import re
from collections import deque

import numpy as np

COMMA = 0x2C
_STRUCTURE = re.compile(rb"[,\[\]{}]")
_STRING_BODY = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_OPENING = b"[{"
# Below this a loop over the few brackets costs less than what numpy does once.
_SHORT = 128


def _depth_changes() -> bytes:
    table = bytearray(256)
    for opening, closing in (b"[]", b"{}"):
        table[opening], table[closing] = 1, 255
    return bytes(table)


_CHANGES = _depth_changes()


class Scanner:
    """Finds the commas and the closing bracket of one level, whatever is nested in it or written in strings.

    It counts brackets and does not tell their kinds apart: a value it delimits may still be malformed.
    ``at`` is how far ``buffer`` has been looked at; the owner may move it, and shorten the buffer, whenever
    ``ends`` is empty.
    """

    def __init__(self, buffer: bytearray) -> None:
        self.at = 0
        self.ends: deque[int] = deque()
        self._buffer = buffer
        self._depth = 0
        self._in_string = False
        self._quote = -1

    def begin(self) -> None:
        """A new level starts at ``at``."""
        self._depth = 0
        self._in_string = False
        self._quote = -1

    def grown(self) -> None:
        """The buffer has changed."""
        self._quote = -1

    def next_end(self) -> int:
        """The next comma of the level, or the bracket that closes it; -1 when the buffer shows no more.

        After the closing bracket ``at`` is behind it and nothing of the level is left.
        """
        while not self.ends:
            if not (self._end_of_string() if self._in_string else self._end_of_stretch()):
                return -1
        return self.ends.popleft()

    def _end_of_string(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b'"', self.at)
        until = end if end >= 0 else len(buffer)
        if buffer.find(b"\\", self.at, until) >= 0:
            body = _STRING_BODY.match(buffer, self.at)
            assert body is not None
            # A backslash at the very end waits here for what it escapes.
            until = body.end()
            end = until if buffer[until : until + 1] == b'"' else -1
        self.at = until
        if end < 0:
            return False
        self.at = end + 1
        self._in_string = False
        return True

    def _end_of_stretch(self) -> bool:
        """Look at what is before the next string."""
        size = len(self._buffer)
        if self.at >= size:
            return False
        if self._quote < self.at:
            quote = self._buffer.find(b'"', self.at)
            self._quote = quote if quote >= 0 else size
        until = self._quote
        closed = self._short(until) if until - self.at < _SHORT else self._long(until)
        if closed:
            return True
        self.at = until
        if until < size:
            self._in_string = True
            self.at += 1
        return True

    def _short(self, until: int) -> bool:
        depth = self._depth
        for found in _STRUCTURE.finditer(self._buffer, self.at, until):
            byte = found[0]
            if byte == b",":
                if not depth:
                    self.ends.append(found.start())
            elif byte in _OPENING:
                depth += 1
            elif depth:
                depth -= 1
            else:
                return self._close(found.start())
        self._depth = depth
        return False

    def _long(self, until: int) -> bool:
        stretch = self._buffer[self.at : until]
        changes = np.frombuffer(stretch.translate(_CHANGES), np.int8)
        depths = np.cumsum(changes, dtype=np.int32)
        outside = np.flatnonzero(depths <= -self._depth)
        below = np.flatnonzero(depths[outside] < -self._depth)
        closing = int(outside[below[0]]) if len(below) else -1
        if closing >= 0:
            outside = outside[: below[0]]
        commas = outside[np.frombuffer(stretch, np.uint8)[outside] == COMMA]
        self.ends.extend((commas + self.at).tolist())
        if closing >= 0:
            return self._close(self.at + closing)
        self._depth += int(depths[-1])
        return False

    def _close(self, position: int) -> bool:
        self.ends.append(position)
        self.at = position + 1
        return True
