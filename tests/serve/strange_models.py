"""Models that go wrong when they are asked to, and the entry of a replica that serves one."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from argosy.serve.model_server.replica import serve_model
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec
from argosy.serve.specs import ReplicaSpec

RAISE, LOOP, LOOP_IN_C, CRASH, NOT_A_NUMBER, SLOW = range(-6, 0)
MODULE = __name__


class Strange:
    """Doubles ``x``; a number that is a command does what it says. ``pair`` has two inputs and outputs."""

    platform = "test"
    preprocessing = None
    labels = ("small", "large")
    signatures = {  # noqa: RUF012
        DEFAULT_SIGNATURE: Signature(
            (TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),), True
        ),
        "pair": Signature(
            (TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1,))),
            (TensorSpec("sum", "INT64", (-1,)), TensorSpec("text", "BYTES", (-1,))),
            True,
        ),
        "fixed": Signature((TensorSpec("x", "FP32", (2, 2)),), (TensorSpec("y", "FP32", (2, 2)),), False),
    }

    def run(self, inputs: Tensors, signature: str, outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        if signature == "pair":
            texts = [
                text + str(number).encode() for text, number in zip(inputs["b"], inputs["a"], strict=True)
            ]
            return {"sum": inputs["a"] + 1, "text": np.array(texts, object)}
        x = inputs["x"]
        commands = set(x.ravel().tolist())
        if RAISE in commands:
            raise RuntimeError("no")
        while LOOP in commands:
            time.sleep(0.01)
        if LOOP_IN_C in commands:
            # Backtracks for ages and never gives up the interpreter.
            re.match(r"(a+)+$", "a" * 64 + "b")
        if CRASH in commands:
            os.abort()
        if SLOW in commands:
            time.sleep(1.0)
        if NOT_A_NUMBER in commands:
            return {"y": np.full_like(x, np.nan)}
        rows = np.full((len(x), 1), len(x), np.float32)
        return {"y": np.concatenate([x[:, :1] * 2, rows], axis=1)}

    def warm_up(self) -> None:
        assert threading.active_count() == 1


def main(payload: dict[str, Any]) -> None:
    serve_model(Strange, msgspec.convert(payload, ReplicaSpec))
