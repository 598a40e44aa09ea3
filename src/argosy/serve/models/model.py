"""A loaded model, whatever library runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from argosy.data.preprocessing import ImagePreprocessing

DEFAULT_SIGNATURE = "serving_default"

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """``datatype`` in the words of the Open Inference Protocol (FP32, UINT8, BYTES, ...); -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """One function of a model. ``batched``: the first dimension of every input and output is the batch, of
    any size, so that the inputs of several requests may be run as one."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool


class LoadedModel(Protocol):
    """``preprocessing``, where there is one, makes the only input of the default signature out of images."""

    platform: str
    signatures: Mapping[str, Signature]
    preprocessing: ImagePreprocessing | None
    labels: tuple[str, ...]

    def run(self, inputs: Tensors, signature: str, outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """The outputs named, or all, for inputs whose names, dtypes and shapes the signature admits.
        Uses the calling thread alone. Raises whatever the library raises."""
        ...

    def warm_up(self) -> None:
        """One answer for inputs of zeros. Raises InvalidInput when the model does not give one."""
        ...
