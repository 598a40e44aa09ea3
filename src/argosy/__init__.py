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
    from argosy.flow.service_options import (
        Access,
        Balancing,
        BalancingPolicy,
        Batching,
        Ensemble,
        Release,
        ReleaseMode,
        ScaleMetric,
        Scaling,
        Sharding,
        Strategy,
        TierLimit,
    )

__version__ = "0.1.0"

_HOMES = {
    "Access": "argosy.flow.service_options",
    "ArgosyError": "argosy.errors",
    "Balancing": "argosy.flow.service_options",
    "BalancingPolicy": "argosy.flow.service_options",
    "Batching": "argosy.flow.service_options",
    "Dataset": "argosy.artifacts.handles",
    "Endpoint": "argosy.flow",
    "Ensemble": "argosy.flow.service_options",
    "FileTree": "argosy.artifacts.handles",
    "Gang": "argosy.flow",
    "Memoize": "argosy.flow",
    "Model": "argosy.artifacts.handles",
    "Release": "argosy.flow.service_options",
    "ReleaseMode": "argosy.flow.service_options",
    "Resources": "argosy.flow",
    "Retry": "argosy.flow",
    "ScaleMetric": "argosy.flow.service_options",
    "Scaling": "argosy.flow.service_options",
    "Sharding": "argosy.flow.service_options",
    "Strategy": "argosy.flow.service_options",
    "TierLimit": "argosy.flow.service_options",
    "arriving": "argosy.flow",
    "serve": "argosy.flow",
    "step": "argosy.flow",
    "workflow": "argosy.flow",
}

__all__ = [
    "Access",
    "ArgosyError",
    "Balancing",
    "BalancingPolicy",
    "Batching",
    "Dataset",
    "Endpoint",
    "Ensemble",
    "FileTree",
    "Gang",
    "Memoize",
    "Model",
    "Release",
    "ReleaseMode",
    "Resources",
    "Retry",
    "ScaleMetric",
    "Scaling",
    "Sharding",
    "Strategy",
    "TierLimit",
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
