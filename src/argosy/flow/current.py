"""The trace that is going on in this context, if any."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argosy.flow.trace import Trace

current_trace: ContextVar[Trace | None] = ContextVar("argosy_trace", default=None)
