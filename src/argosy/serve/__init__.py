"""Serving: model servers, the router of an ensemble, the gateway (Envoy), and what keeps them alive."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """``argosy.serve`` is this room and, to authors, a function: importing the room must not hide it."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from argosy.flow import serve

        return serve(*arguments, **options)


sys.modules[__name__].__class__ = _Room
