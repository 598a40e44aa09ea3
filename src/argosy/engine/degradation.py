"""What is logged when nothing can be committed, and when it can again."""

from __future__ import annotations

import logging

from argosy.errors import ArgosyError, Unavailable

_LOG = logging.getLogger("argosy.engine.shell")


def reason_of(error: Exception | None) -> str:
    """Why nothing can be committed, in a sentence; empty when it can."""
    if error is None:
        return ""
    return error.message if isinstance(error, ArgosyError) else repr(error)


def log_change(reason: str, error: Exception | None) -> None:
    """Once for each reason: it is tried again every second, on a disk that may be full."""
    if error is None:
        _LOG.warning("what waited is committed")
        return
    fault = None if isinstance(error, Unavailable) else error
    _LOG.error("not committed, will be tried again: %s", reason, exc_info=fault)
