"""Whether a model is quick enough to be run in the thread that also reads and writes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from argosy.serve.model_server.tensors import DTYPES
from argosy.serve.models.model import DEFAULT_SIGNATURE, LoadedModel, Signature, Tensors

# What everybody else may have to wait for a full batch.
QUICK_SECONDS = 0.005


def is_quick(model: LoadedModel, batch_rows: int) -> bool:
    """Measured on the default signature with zeros: one row, a few, a full batch, while it is quick."""
    signature = model.signatures.get(DEFAULT_SIGNATURE)
    if signature is None:
        return False
    return all(_seconds(model, signature, rows) < QUICK_SECONDS for rows in _sizes(signature, batch_rows))


def _sizes(signature: Signature, batch_rows: int) -> Iterator[int]:
    yield 1
    if signature.batched:
        yield from (rows for rows in (8, batch_rows) if rows <= batch_rows)


def _seconds(model: LoadedModel, signature: Signature, rows: int) -> float:
    """The better of two: the first pays for memory."""
    inputs = _zeros(signature, rows)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        try:
            model.run(inputs, DEFAULT_SIGNATURE)
        except Exception:  # Zeros may be no input for this model, and that says nothing of its speed.
            return QUICK_SECONDS
        times.append(time.perf_counter() - start)
    return min(times)


def _zeros(signature: Signature, rows: int) -> Tensors:
    zeros = {}
    for spec in signature.inputs:
        shape = [1 if size < 0 else size for size in spec.shape]
        if signature.batched:
            shape[0] = rows
        zeros[spec.name] = np.full(shape, b"" if spec.datatype == "BYTES" else 0, DTYPES[spec.datatype])
    return zeros
