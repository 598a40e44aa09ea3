"""Ingestion inside a step: sources, sharded datasets, global batches, preprocessing.

Nothing here is imported before it is used: a workflow file that mentions ``argosy.data`` is traced
without loading NumPy or Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.data.batches import GlobalBatches
    from argosy.data.fashion import FashionMnist, fashion_mnist, locate_fashion_mnist
    from argosy.data.loading import BatchLoader
    from argosy.data.manifest import Column, Manifest
    from argosy.data.permutation import Permutation
    from argosy.data.preprocessing import ImageLimits, ImagePreprocessing
    from argosy.data.reader import DatasetReader, SplitReader, open_dataset
    from argosy.data.writer import DatasetSource, DatasetWriter, write_dataset

_HOMES = {
    "BatchLoader": "argosy.data.loading",
    "Column": "argosy.data.manifest",
    "DatasetReader": "argosy.data.reader",
    "DatasetSource": "argosy.data.writer",
    "DatasetWriter": "argosy.data.writer",
    "FashionMnist": "argosy.data.fashion",
    "GlobalBatches": "argosy.data.batches",
    "ImageLimits": "argosy.data.preprocessing",
    "ImagePreprocessing": "argosy.data.preprocessing",
    "Manifest": "argosy.data.manifest",
    "Permutation": "argosy.data.permutation",
    "SplitReader": "argosy.data.reader",
    "fashion_mnist": "argosy.data.fashion",
    "locate_fashion_mnist": "argosy.data.fashion",
    "open_dataset": "argosy.data.reader",
    "write_dataset": "argosy.data.writer",
}

__all__ = [
    "BatchLoader",
    "Column",
    "DatasetReader",
    "DatasetSource",
    "DatasetWriter",
    "FashionMnist",
    "GlobalBatches",
    "ImageLimits",
    "ImagePreprocessing",
    "Manifest",
    "Permutation",
    "SplitReader",
    "fashion_mnist",
    "locate_fashion_mnist",
    "open_dataset",
    "write_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'argosy.data' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
