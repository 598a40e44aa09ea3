"""Training inside a gang: the loop, checkpoints, metrics, selection and export.

TensorFlow is imported only when training or exporting starts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.train.exporting import export, export_model
    from argosy.train.fitting import fit
    from argosy.train.result import TrainingResult
    from argosy.train.selection import Selection, choose, select

_HOMES = {
    "Selection": "argosy.train.selection",
    "TrainingResult": "argosy.train.result",
    "choose": "argosy.train.selection",
    "export": "argosy.train.exporting",
    "export_model": "argosy.train.exporting",
    "fit": "argosy.train.fitting",
    "select": "argosy.train.selection",
}

__all__ = ["Selection", "TrainingResult", "choose", "export", "export_model", "fit", "select"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'argosy.train' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
