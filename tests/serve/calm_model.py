"""A model of tensors whose every answer is a number, and the entry of a replica that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from argosy.serve.model_server.replica import serve_model
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec
from argosy.serve.specs import ReplicaSpec

MODULE = __name__


def _spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, datatype, shape)


class Calm:
    """``serving_default`` has one input; ``pair`` several, of texts too; ``fixed`` makes no batches."""

    platform = "test"
    preprocessing = None
    labels = ("small", "large")
    signatures = {  # noqa: RUF012
        DEFAULT_SIGNATURE: Signature((_spec("x", "FP32", -1, 2),), (_spec("y", "FP32", -1, 2),), True),
        "pair": Signature(
            (_spec("a", "INT64", -1), _spec("b", "BYTES", -1), _spec("c", "BOOL", -1, 2)),
            (_spec("sum", "INT64", -1), _spec("text", "BYTES", -1), _spec("all", "BOOL", -1)),
            True,
        ),
        "fixed": Signature(
            (_spec("x", "UINT8", 2, 2), _spec("scale", "FP64")), (_spec("y", "FP64", 2, 2),), False
        ),
    }

    def run(self, inputs: Tensors, signature: str, outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        if signature == DEFAULT_SIGNATURE:
            return {"y": np.tanh(inputs["x"])}
        if signature == "fixed":
            return {"y": inputs["x"] * np.tanh(inputs["scale"])}
        numbers, texts = inputs["a"], inputs["b"]
        joined = [text + b"%d" % number for text, number in zip(texts, numbers, strict=True)]
        return {
            "sum": numbers // 2,
            "text": np.array([*joined, None], object)[:-1],
            "all": inputs["c"].all(axis=1),
        }

    def warm_up(self) -> None: ...


def main(payload: dict[str, Any]) -> None:
    serve_model(Calm, msgspec.convert(payload, ReplicaSpec))
