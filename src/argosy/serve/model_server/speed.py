"""How long a model takes, and so whether it may run in the thread that also reads and writes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from argosy.serve.model_server.tensors import DTYPES
from argosy.serve.models.model import DEFAULT_SIGNATURE, LoadedModel, Signature, Tensors

# What everybody else may have to wait for a batch that runs in the loop's thread. A start is a busy time for
# a machine, so what is measured then is often several times what it will be.
QUICK_SECONDS = 0.02
_FEW = 8


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of one row, and of each row more."""

    first: float
    more: float

    def is_quick(self, rows: int) -> bool:
        return self.first + (rows - 1) * self.more < QUICK_SECONDS


NEVER_QUICK = Speed(QUICK_SECONDS, 0.0)


def measure(model: LoadedModel, batch_rows: int) -> Speed:
    """Of the default signature, with zeros; more rows are tried only while that is quick itself."""
    signature = model.signatures.get(DEFAULT_SIGNATURE)
    if signature is None:
        return NEVER_QUICK
    first = _seconds(model, signature, 1)
    speed = Speed(first, first)
    if not signature.batched:
        return speed
    for rows in sorted({min(_FEW, batch_rows), batch_rows} - {1}):
        if speed.first >= QUICK_SECONDS or speed.more * rows >= 4 * QUICK_SECONDS:
            break
        speed = Speed(first, max(0.0, _seconds(model, signature, rows) - first) / (rows - 1))
    return speed


def _seconds(model: LoadedModel, signature: Signature, rows: int) -> float:
    """The better of two: the first pays for memory, and either may have had to share its core."""
    inputs = _zeros(signature, rows)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        try:
            model.run(inputs, DEFAULT_SIGNATURE)
        except Exception:  # Zeros may be no input for this model, and that says nothing of its speed.
            return QUICK_SECONDS
        times.append(time.perf_counter() - start)
        if times[-1] >= QUICK_SECONDS * 2:
            break
    return min(times)


def _zeros(signature: Signature, rows: int) -> Tensors:
    zeros = {}
    for spec in signature.inputs:
        shape = [1 if size < 0 else size for size in spec.shape]
        if signature.batched:
            shape[0] = rows
        zeros[spec.name] = np.full(shape, b"" if spec.datatype == "BYTES" else 0, DTYPES[spec.datatype])
    return zeros
