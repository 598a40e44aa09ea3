"""A predict request of any size, taken apart while it comes: its instances, as the caller wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import orjson

from argosy.errors import InvalidInput, TooLarge
from argosy.serve.router.scanning import COMMA, Scanner

INSTANCES = "instances"
KEY_BYTES = 1024
_EXAMPLE = 'send {"instances": [{"b64": "<base64 of a PNG or JPEG file>"}]}'
_SPACES = b" \t\n\r"
_SPACE = re.compile(rb"[ \t\n\r]*")
_RAW = msgspec.json.Decoder(msgspec.Raw)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_KINDS = {"{": "an object", "[": "a list", '"': "text", "t": "a boolean", "f": "a boolean", "n": "null"}


@dataclass(frozen=True, slots=True)
class SplitLimits:
    """What is held at most: ``instance_bytes`` of one instance, ``other_bytes`` of all that is not
    ``instances``."""

    instance_bytes: int = 24 * 2**20
    other_bytes: int = 32 * 2**20


class Splitter:
    """Takes ``{"instances": [...], ...}`` in pieces and gives every instance, raw, once it is whole.

    What it gives is valid JSON. ``others`` are the other keys seen so far, their values raw. Every fault is
    an InvalidInput that says in which instance and at which byte of the request it is; TooLarge is beyond
    the limits. It holds no more than the last piece and one unfinished value.
    """

    def __init__(self, limits: SplitLimits | None = None) -> None:
        self.others: dict[str, bytes] = {}
        self.count = 0
        self.has_instances = False
        self._limits = limits or SplitLimits()
        self._buffer = bytearray()
        self._scanner = Scanner(self._buffer)
        # The request's byte that is the first of the buffer, and where in the buffer the value began.
        self._offset = 0
        self._begin = 0
        self._key = ""
        self._found: list[tuple[int, bytes]] = []
        self._other_bytes = 0
        self._state: Callable[[], bool] = self._before_object

    def feed(self, data: bytes) -> list[bytes]:
        """The instances that are whole now, in order."""
        self._buffer += data
        self._scanner.grown()
        while self._state():
            pass
        self._forget()
        found, self._found = self._found, []
        self._check(found)
        self.count += len(found)
        return [raw for _, raw in found]

    def finish(self) -> None:
        """The request has ended. Raises InvalidInput when it is not whole, or its list is empty."""
        if self._state != self._after_object:
            if not self._offset and not self._buffer:
                raise InvalidInput("the request has no body, expected JSON", hint=_EXAMPLE)
            end = self._offset + len(self._buffer)
            raise InvalidInput(f"malformed JSON: the request ends {self._place()}, at byte {end}")
        if self.has_instances and not self.count:
            raise InvalidInput("'instances' is an empty list, expected at least one instance", hint=_EXAMPLE)

    def _before_object(self) -> bool:
        byte = self._next()
        if byte and byte != "{":
            raise InvalidInput(f"the request is {_kind(byte)}, expected an object", hint=_EXAMPLE)
        return self._go(byte, self._before_first_key)

    def _before_first_key(self) -> bool:
        if self._next() == "}":
            return self._go("}", self._after_object)
        return self._before_key()

    def _before_key(self) -> bool:
        if not self._expect('"', "a key in double quotes"):
            return False
        end = self._key_end()
        if end < 0:
            return False
        self._key = self._decoded_key(bytes(self._buffer[self._scanner.at : end]))
        self._scanner.at = end
        self._state = self._before_colon
        return True

    def _key_end(self) -> int:
        at = self._scanner.at
        most = self._scanner.at + KEY_BYTES
        while (quote := self._buffer.find(b'"', at + 1, most)) >= 0:
            before = bytes(self._buffer[self._scanner.at + 1 : quote])
            if not (len(before) - len(before.rstrip(b"\\"))) % 2:
                return quote + 1
            at = quote
        if len(self._buffer) >= most:
            raise self._malformed(f"a key of more than {KEY_BYTES} bytes", self._scanner.at)
        return -1

    def _decoded_key(self, raw: bytes) -> str:
        try:
            return str(msgspec.json.decode(raw, type=str))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._malformed("a key that is not valid text", self._scanner.at) from None

    def _before_colon(self) -> bool:
        return self._go(self._expect(":", "':'"), self._before_value)

    def _before_value(self) -> bool:
        if self._key != INSTANCES:
            self._start_value(self._in_value)
            return True
        byte = self._next()
        if not byte:
            return False
        if self.has_instances:
            raise self._malformed("a second 'instances'", self._scanner.at)
        if byte != "[":
            raise InvalidInput(f"'instances' is {_kind(byte)}, expected a list", hint=_EXAMPLE)
        self.has_instances = True
        self._scanner.at += 1
        self._start_value(self._in_instances)
        return True

    def _start_value(self, state: Callable[[], bool]) -> None:
        self._scanner.begin()
        self._begin = self._scanner.at
        self._state = state

    def _in_value(self) -> bool:
        end = self._scanner.next_end()
        if end < 0:
            return False
        start, raw = self._taken(end)
        self._check([(start, raw)])
        self.others[self._key] = raw
        # What an entry costs beside its bytes counts too: there may be very many.
        self._other_bytes += len(self._key) + len(raw) + 256
        self._check_size(0, in_instances=False)
        self._drop_what_is_ahead(end)
        self._state = self._after_value
        return True

    def _drop_what_is_ahead(self, end: int) -> None:
        # The scanner looks at a whole stretch at once; what follows this value is another level's.
        self._scanner.ends.clear()
        self._scanner.at = end
        self._scanner.grown()

    def _in_instances(self) -> bool:
        buffer, scanner = self._buffer, self._scanner
        while (end := scanner.next_end()) >= 0:
            is_comma = buffer[end] == COMMA
            start, raw = self._taken(end, may_be_empty=not is_comma and not self._any_instance())
            if raw:
                self._found.append((start, raw))
            if not is_comma:
                if buffer[end] != 0x5D:
                    raise self._malformed("'}' where ']' was expected", end)
                self._drop_what_is_ahead(end + 1)
                self._state = self._after_value
                return True
            self._begin = end + 1
        return False

    def _any_instance(self) -> bool:
        return bool(self.count or self._found)

    def _taken(self, end: int, *, may_be_empty: bool = False) -> tuple[int, bytes]:
        raw = bytes(self._buffer[self._begin : end])
        start = self._begin + len(raw) - len(raw.lstrip(_SPACES))
        raw = raw.strip(_SPACES)
        if not raw and not may_be_empty:
            raise self._malformed(f"'{chr(self._buffer[end])}' where a value was expected", end)
        return self._offset + start, raw

    def _after_value(self) -> bool:
        if self._next() == "}":
            return self._go("}", self._after_object)
        return self._go(self._expect(",", "',' or '}'"), self._before_key)

    def _after_object(self) -> bool:
        if self._next():
            raise self._malformed("something after the end of the object", self._scanner.at)
        return False

    def _go(self, byte: str, state: Callable[[], bool]) -> bool:
        if byte:
            self._scanner.at += 1
            self._state = state
        return bool(byte)

    def _next(self) -> str:
        """The next character that is no white space; empty when it has not come yet."""
        spaces = _SPACE.match(self._buffer, self._scanner.at)
        assert spaces is not None
        self._scanner.at = spaces.end()
        return chr(self._buffer[spaces.end()]) if spaces.end() < len(self._buffer) else ""

    def _expect(self, byte: str, what: str) -> str:
        found = self._next()
        if found and found != byte:
            raise self._malformed(f"{found!r} where {what} was expected", self._scanner.at)
        return found

    def _forget(self) -> None:
        """Shorten the buffer to what is still needed, and see that it is not too much."""
        in_instances = self._state == self._in_instances
        keep = self._scanner.at
        if in_instances or self._state == self._in_value:
            spaces = _SPACE.match(self._buffer, self._begin)
            assert spaces is not None
            keep = spaces.end()
            held = len(self._buffer) - keep
            self._check_size(held, in_instances=in_instances)
        del self._buffer[:keep]
        self._offset += keep
        self._scanner.at -= keep
        self._scanner.grown()
        self._begin = 0

    def _check_size(self, held: int, *, in_instances: bool) -> None:
        if in_instances:
            limit, what = self._limits.instance_bytes, f"instances[{self.count + len(self._found)}]"
        else:
            held += self._other_bytes
            limit, what = self._limits.other_bytes, f"{self._key[:80]!r} (with what is before it)"
        if held > limit:
            raise TooLarge(
                f"{what} holds {held} bytes or more, at most {limit} are taken",
                hint="send a large request as many instances: those are taken one after the other",
            )

    def _check(self, found: Sequence[tuple[int, bytes]]) -> None:
        """Raises InvalidInput for the first that is not JSON."""
        text = b"[" + b",".join(raw for _, raw in found) + b"]"
        try:
            _RAWS.decode(text)
            if not text.isascii():
                text.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            for position, (start, raw) in enumerate(found):
                self._check_one(self.count + position, start, raw)

    def _check_one(self, position: int, start: int, raw: bytes) -> None:
        what = f"in instances[{position}]" if self._key == INSTANCES else f"in {self._key[:80]!r}"
        try:
            orjson.loads(raw)
            _RAW.decode(raw)
        except orjson.JSONDecodeError as error:
            offset, reason = start + len(error.doc[: error.pos].encode()), error.msg
        except msgspec.DecodeError as error:
            offset, reason = start, str(error)
        except RecursionError:
            offset, reason = start, "too deeply nested"
        else:
            return
        raise InvalidInput(f"malformed JSON {what}, at byte {offset}: {reason}", hint=_EXAMPLE)

    def _malformed(self, what: str, at: int) -> InvalidInput:
        return InvalidInput(
            f"malformed JSON {self._place()}, at byte {self._offset + at}: {what}", hint=_EXAMPLE
        )

    def _place(self) -> str:
        if self._state == self._in_instances:
            return f"in instances[{self.count + len(self._found)}]"
        return f"in {self._key[:80]!r}" if self._state == self._in_value else "in the request's object"


def _kind(byte: str) -> str:
    return _KINDS.get(byte, "a number" if byte in "-0123456789" else "not JSON")
