"""Argosy: machine-learning workflows, written once, run on a laptop or on Kubernetes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.artifacts.handles import Dataset, FileTree, Model
    from argosy.errors import ArgosyError
    from argosy.flow import (
        Endpoint,
        Gang,
        Memoize,
        Resources,
        Retry,
        arriving,
        serve,
        step,
        workflow,
    )

__version__ = "0.1.0"

_HOMES = {
    "ArgosyError": "argosy.errors",
    "Dataset": "argosy.artifacts.handles",
    "Endpoint": "argosy.flow",
    "FileTree": "argosy.artifacts.handles",
    "Gang": "argosy.flow",
    "Memoize": "argosy.flow",
    "Model": "argosy.artifacts.handles",
    "Resources": "argosy.flow",
    "Retry": "argosy.flow",
    "arriving": "argosy.flow",
    "serve": "argosy.flow",
    "step": "argosy.flow",
    "workflow": "argosy.flow",
}

__all__ = [
    "ArgosyError",
    "Dataset",
    "Endpoint",
    "FileTree",
    "Gang",
    "Memoize",
    "Model",
    "Resources",
    "Retry",
    "__version__",
    "arriving",
    "serve",
    "step",
    "workflow",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import argosy` stays cheap for the command line and for warm processes.
    if name not in _HOMES:
        raise AttributeError(f"module 'argosy' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
