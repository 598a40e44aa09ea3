"""The messages between control plane, launcher and processes, and how they are framed on a stream.

A frame is a length (4 bytes, little endian) and that many bytes of JSON. What only passes through the
launcher (a specification, a report's body, an output) stays undecoded there.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from argosy.errors import ArgosyError
from argosy.runtime.protocol import (
    AttemptId,
    AttemptSpec,
    Cause,
    Ended,
    Outcome,
    Reported,
    Sampled,
    Started,
)

_HEADER = struct.Struct("<I")
LARGEST_FRAME = 256 * 2**20
_encoder = msgspec.json.Encoder(enc_hook=lambda value: _plain(value))


# From the control plane to the launcher.


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    spec: msgspec.Raw


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    attempt: AttemptId
    cause: Cause
    message: str


class Acknowledge(msgspec.Struct, frozen=True, tag="acknowledge"):
    attempt: AttemptId
    token: int


class Warm(msgspec.Struct, frozen=True, tag="warm"):
    """``kept``, where it is given: these and no others stay warm, with idle processes, though nothing uses
    them. A launcher of an earlier version reads over it."""

    preload: tuple[str, ...]
    kept: tuple[tuple[str, ...], ...] | None = None


class ShutDown(msgspec.Struct, frozen=True, tag="shut_down"):
    pass


Order = Launch | Stop | Acknowledge | Warm | ShutDown


# From the launcher to the control plane, beside the events of the protocol.


class Inventory(msgspec.Struct, frozen=True, tag="inventory"):
    """The first word to a new control plane: what runs, what still waits for its processes, what ended."""

    pid: int
    started: tuple[Started, ...]
    waiting: tuple[tuple[AttemptId, int], ...]
    ended: tuple[tuple[AttemptId, int], ...]


class Replaced(msgspec.Struct, frozen=True, tag="replaced"):
    """The last word to a control plane whose place another one took."""


Answer = Inventory | Replaced | Started | Reported | Sampled | Ended


# Between the launcher and a process.


# Raw can not be optional where it is decoded.
NOTHING = msgspec.Raw(b"null")


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A process waits for work. The sizes are what it holds before it does any."""

    pid: int
    start_ticks: int
    resident: int
    shared: int


class Said(msgspec.Struct, frozen=True, tag="said"):
    kind: str
    body: msgspec.Raw
    time: float


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """A rank's own account of its end. It exits next."""

    outcome: Outcome
    output: msgspec.Raw = NOTHING


FromProcess = Hello | Said | Finished


class Go(msgspec.Struct, frozen=True):
    """The work of one rank. ``peers`` are the addresses of a gang, ``master`` one more of rank 0."""

    rank: int
    spec: AttemptSpec
    peers: tuple[str, ...] = ()
    master: str = ""


class RawGo(msgspec.Struct, frozen=True):
    """A :class:`Go` as the launcher writes it."""

    rank: int
    spec: msgspec.Raw
    peers: tuple[str, ...] = ()
    master: str = ""


class AttemptName(msgspec.Struct, frozen=True):
    """As much of a specification as any version has."""

    attempt: AttemptId
    token: int


class RawReported(msgspec.Struct, frozen=True, tag="reported"):
    """A :class:`Reported` as the launcher writes it."""

    attempt: AttemptId
    token: int
    rank: int
    kind: str
    body: msgspec.Raw
    time: float


class RawEnded(msgspec.Struct, frozen=True, tag="ended"):
    """An :class:`Ended` as the launcher writes it."""

    attempt: AttemptId
    token: int
    outcome: Outcome
    time: float
    output: msgspec.Raw | None = None


decode_order = msgspec.json.Decoder(Order).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_from_process = msgspec.json.Decoder(FromProcess).decode
decode_go = msgspec.json.Decoder(Go).decode
decode_name = msgspec.json.Decoder(AttemptName).decode
decode_spec = msgspec.json.Decoder(AttemptSpec).decode


def frame(message: object) -> bytes:
    """One message, ready for the stream."""
    body = _encoder.encode(message)
    return _HEADER.pack(len(body)) + body


def raw(value: object) -> msgspec.Raw:
    """A value as JSON, to be put into a message."""
    return msgspec.Raw(_encoder.encode(value))


def encode(value: object) -> bytes:
    """JSON without a frame; numbers of NumPy become plain ones, anything else unknown its text."""
    return _encoder.encode(value)


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "size", 1) == 1 else str(value)


class Deframer:
    """Cuts a stream of bytes into the frames it is made of."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes. Raises ArgosyError for what is no frame."""
        buffer = self._buffer
        buffer += data
        frames, start, end = [], 0, len(buffer)
        while end - start >= 4:
            (length,) = _HEADER.unpack_from(buffer, start)
            if length > LARGEST_FRAME:
                raise ArgosyError(
                    f"a frame of {length} bytes is over the limit of {LARGEST_FRAME}",
                    hint="pass large values between steps as artifacts",
                )
            if end - start - 4 < length:
                break
            frames.append(bytes(buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        if start:
            del buffer[:start]
        return frames
