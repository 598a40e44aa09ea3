"""JSON values as canonical bytes: equal values give equal bytes, and nothing is changed on the way.

Keys are sorted, the text is UTF-8 without spaces, floats are written in their shortest form. Not-a-number,
infinities, keys that are not texts and whatever else JSON does not know are refused. A tuple becomes a list.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from argosy.errors import InvalidRequest

_SCALARS = frozenset({str, int, float, bool, type(None)})
_TEXT = frozenset({str})
_encoder = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=True
)
_HINTS = {
    "set": "return sorted(...) instead",
    "frozenset": "return sorted(...) instead",
    "ndarray": "declare that the step returns numpy.ndarray, or return value.tolist()",
    "bytes": "declare that the step returns bytes, or decode it",
    "PosixPath": "return str(path), or a FileTree to keep the files themselves",
    "Dataset": "return the Dataset itself, or a list of them declared list[Dataset]",
    "Model": "return the Model itself, or a list of them declared list[Model]",
    "FileTree": "return the FileTree itself, or a list of them declared list[FileTree]",
    "datetime": "return value.isoformat()",
    "Decimal": "return float(value) or str(value)",
}
_HINT = 'return JSON values, or ask for pickle by name: @ar.step(serializer="pickle")'


def encode_json(value: object, name: str = "result") -> bytes:
    """Canonical bytes of a JSON value. Raises InvalidRequest naming the place, such as ``result["a"][2]``."""
    try:
        if type(value) not in _SCALARS and not _is_plain(value):
            raise TypeError
        return _encoder.encode(value).encode()
    except (TypeError, ValueError, RecursionError):
        raise _explain(value, name) from None


def decode_json(data: bytes | memoryview | msgspec.Raw) -> Any:
    """Inverse of :func:`encode_json`."""
    return msgspec.json.decode(data)


def _is_plain(value: object) -> bool:
    # The encoder quietly turns keys such as 1 or None into texts; only those need looking for.
    if isinstance(value, dict):
        if not set(map(type, value)) <= _TEXT and not all(isinstance(key, str) for key in value):
            return False
        items: Any = value.values()
    elif isinstance(value, list | tuple):
        items = value
    else:
        return isinstance(value, str | int | float)
    return set(map(type, items)) <= _SCALARS or all(
        type(item) in _SCALARS or _is_plain(item) for item in items
    )


def _explain(value: object, path: str) -> InvalidRequest:
    """The error for the first thing inside ``value`` that is not JSON."""
    place, fault, hint = _first_fault(value, path, ()) or (path, "is not a JSON value", _HINT)
    return InvalidRequest(f"{place} {fault}", hint=hint, context={"path": place})


def _first_fault(value: object, path: str, above: tuple[int, ...]) -> tuple[str, str, str] | None:
    if isinstance(value, dict | list | tuple):
        return _fault_inside(value, path, above)
    if isinstance(value, float):
        return _float_fault(value, path)
    if isinstance(value, str):
        return _text_fault(value, path)
    if isinstance(value, int):
        return _integer_fault(value, path)
    if value is None:
        return None
    kind = type(value)
    hint = _HINTS.get(kind.__name__, _HINT)
    if kind.__module__ == "numpy" and hasattr(value, "item") and kind.__name__ != "ndarray":
        hint = "return value.item()"
    return path, f"is a `{kind.__name__}`, which is not a JSON value", hint


def _fault_inside(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, above: tuple[int, ...]
) -> tuple[str, str, str] | None:
    if id(value) in above:
        return path, "contains itself", "return a value without cycles"
    if len(above) >= 200:
        return path[:60] + "…", "is nested too deep", "return a flatter value, or a FileTree"
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                fault = f"has the key {key!r}, a `{type(key).__name__}`; JSON keys are texts"
                return path, fault, "use str(key)"
            if found := _text_fault(key, f"{path}: the key"):
                return found
        items: Any = ((json.dumps(key, ensure_ascii=False), item) for key, item in value.items())
    else:
        items = enumerate(value)
    for index, item in items:
        if found := _first_fault(item, f"{path}[{index}]", (*above, id(value))):
            return found
    return None


def _float_fault(value: float, path: str) -> tuple[str, str, str] | None:
    if math.isfinite(value):
        return None
    return path, f"is {value}, which JSON does not have", "return None, or leave the value out"


def _text_fault(value: str, path: str) -> tuple[str, str, str] | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return path, "is a text with a lone surrogate", "decode bytes with errors='replace'"
    return None


def _integer_fault(value: int, path: str) -> tuple[str, str, str] | None:
    try:
        str(int(value))
    except ValueError:
        return path, "is an integer of too many digits", "return it as a text, or as a float"
    return None
