"""W3C trace context: what a failure is called in the log, so that it is found from the caller's side.

The headers end here: a model server asks nobody else, and the specification has none for answers.
"""

from __future__ import annotations

import re

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)
_STATE = re.compile(rb"[\x20-\x7e]{1,512}")


def trace_of(parent: bytes | None, state: bytes | None) -> str:
    """`` (trace ..., span ...)`` of a valid ``traceparent`` and its ``tracestate``, or an empty text."""
    found = _TRACEPARENT.fullmatch(parent) if parent is not None else None
    if found is None or (parent is not None and parent.startswith(b"00") and found[3]):
        return ""
    more = f", state {state.decode()}" if state and _STATE.fullmatch(state) else ""
    return f" (trace {found[1].decode()}, span {found[2].decode()}{more})"
