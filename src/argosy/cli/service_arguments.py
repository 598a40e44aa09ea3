"""What people write of services on a command line: ``1:4``, ``3=90``, ``anonymous=2:4:100/1h``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from argosy.api.serving import HeaderRequest, ShareRequest
from argosy.errors import InvalidInput, InvalidRequest, NotFound
from argosy.units import parse_duration

_RANGE = re.compile(r"(\d+)(?::(\d+))?")
_SHARE = re.compile(r"(\d+)=(\d+)%?")
_HEADER = re.compile(r"([^\s:=]+)\s*[:=]\s*(.+)=(\d+)")
_TILE = re.compile(r"(\d+)x(\d+)")
_LARGEST = 10**9


def parse_replicas(text: str) -> tuple[int, int]:
    """``MIN:MAX``, or one number for both. Raises InvalidRequest."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or len(text) > 20:
        raise InvalidRequest(
            f"{text!r} is not MIN:MAX", hint="write the fewest and the most replicas, such as 1:4 or 0:2"
        )
    least = int(match[1])
    most = int(match[2]) if match[2] else least
    if least > most or most < 1:
        raise InvalidRequest(
            f"{least} to {most} replicas can not be",
            hint=f"write the smaller number first: {most}:{least}"
            if least > most > 0
            else "at least one replica must be allowed, such as 0:1",
        )
    return least, most


def parse_revision(text: str) -> int:
    """A revision's number, also with an r before it. Raises InvalidRequest."""
    digits = text.removeprefix("r")
    if not digits.isascii() or not digits.isdigit() or not 0 < int(digits) < _LARGEST:
        raise InvalidRequest(
            f"{text!r} is not the number of a revision",
            hint="'argosy service NAME' lists them; write, for instance, 3",
        )
    return int(digits)


def parse_shares(words: Sequence[str]) -> list[ShareRequest]:
    """``REV=PERCENT`` for each. Raises InvalidRequest, also when they do not add up to 100."""
    shares = []
    for word in words:
        match = _SHARE.fullmatch(word.removeprefix("r"))
        if match is None or int(match[2]) > 100:
            raise InvalidRequest(f"{word!r} is not REVISION=PERCENT", hint="write, for instance, 3=90 4=10")
        shares.append(ShareRequest(parse_revision(match[1]), int(match[2])))
    whole = sum(share.percent for share in shares)
    if whole != 100:
        raise InvalidRequest(
            f"{' '.join(words)} adds up to {whole} percent, expected 100",
            hint="every request goes somewhere: write, for instance, 3=90 4=10",
        )
    return shares


def parse_header(text: str) -> HeaderRequest:
    """``NAME: VALUE=REV``. Raises InvalidRequest."""
    match = _HEADER.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(f"{text!r} is not 'NAME: VALUE=REVISION'", hint="write 'x-beta: yes=4'")
    return HeaderRequest(match[1], match[2].strip(), parse_revision(match[3]))


def parse_limit(text: str) -> tuple[str, dict[str, Any]]:
    """``TIER=CONCURRENCY:QUEUE:REQUESTS/PERIOD`` as a tier and its limits; what is left empty limits nothing.

    Raises InvalidRequest.
    """
    tier, equals, rest = text.partition("=")
    parts = rest.split(":")
    if not equals or not tier or not rest or len(parts) > 3:
        raise _no_limit(text)
    limit: dict[str, Any] = {}
    for name, part in zip(("concurrency", "queue"), parts, strict=False):
        if part.strip() not in ("", "-"):
            limit[name] = _number(part, text)
    if len(parts) == 3 and parts[2].strip() not in ("", "-"):
        requests, slash, period = parts[2].partition("/")
        if not slash:
            raise _no_limit(text)
        limit["requests"] = _number(requests, text)
        limit["period_seconds"] = _period(period.strip())
    return tier.strip(), limit


def _period(text: str) -> float:
    """``1h``, ``10 minutes``, and without a number one of its kind: ``hour``."""
    try:
        return parse_seconds(text if text[:1].isdigit() else f"1{text}")
    except InvalidRequest:
        raise InvalidRequest(
            f"period {text!r} is not a length of time",
            hint="write second, minute, hour or day, or a number with a unit, such as 30s or 10 minutes",
        ) from None


def _number(text: str, whole: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or int(digits) > _LARGEST:
        raise _no_limit(whole)
    return int(digits)


def _no_limit(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text!r} is not TIER=CONCURRENCY:QUEUE:REQUESTS/PERIOD",
        hint="write, for instance, anonymous=2:4:100/1h, signed-in=3 or anonymous=::1/1h",
    )


def parse_tile(text: str) -> list[int]:
    """``HEIGHTxWIDTH`` in pixels. Raises InvalidRequest."""
    match = _TILE.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(f"{text!r} is not HEIGHTxWIDTH", hint="write pixels, such as 256x256")
    return [int(match[1]), int(match[2])]


def parse_numbers(text: str) -> list[float]:
    """Numbers with commas between them. Raises InvalidRequest."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a list of numbers", hint="write 0.5,0.3,0.2") from None


def parse_seconds(text: str) -> float:
    """A length of time; ``never`` and ``0`` are none of those. Raises InvalidRequest."""
    return parse_duration(text).total_seconds()


def read_labels(file: Path) -> list[str]:
    """Class names from a JSON list, or from a text with one on each line. Raises InvalidInput, NotFound."""
    text = read_text(file)
    if not text.lstrip().startswith("["):
        return [line.strip() for line in text.splitlines() if line.strip()]
    labels = _json(file, text)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InvalidInput(
            f"{file} is not a list of names", hint='write ["shirt", "boot"], or one on each line'
        )
    return labels


def read_preprocessing(file: Path) -> dict[str, Any]:
    """How images become a model's input, as in ``preprocessing.json``. Raises InvalidInput, NotFound."""
    found = _json(file, read_text(file))
    if not isinstance(found, dict):
        raise InvalidInput(
            f"{file} is not a JSON object", hint='write {"height": 28, "width": 28, "channels": 1}'
        )
    return found


def read_text(file: Path) -> str:
    """Raises InvalidInput, NotFound."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", hint="check the path") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not text", hint="save it as UTF-8") from None
    except OSError as error:
        raise InvalidInput(f"{file} can not be read: {error.strerror}", hint="check the path") from None


def _json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is not JSON: {error}", hint="mend the file") from None
