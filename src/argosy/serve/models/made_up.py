"""Made-up inputs: what a model is asked before any caller asks it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from argosy.serve.models.datatypes import BYTES, numpy_dtype
from argosy.serve.models.model import Signature, TensorSpec

Inputs = dict[str, NDArray[Any]]
_Make = Callable[[TensorSpec, tuple[int, ...], bytes], NDArray[Any]]

# What a dimension of any size may have to be: convolutions refuse 1, and many models take multiples of 32.
_SIZES = (1, 32, 224)
# A model may read texts, serialized examples, images or numbers.
_ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
_TEXTS = (b"", _ONE_PIXEL, b"0")
_SEED = 20240229


def is_guessed(signature: Signature) -> bool:
    """Whether what the signature says leaves open which inputs the model can take."""
    return any(spec.datatype == BYTES or -1 in spec.shape[1:] for spec in signature.inputs)


def zeros(signature: Signature, rows: int) -> Iterator[Inputs]:
    """Inputs of zeros, one candidate after the other where sizes or texts are open."""

    def make(spec: TensorSpec, shape: tuple[int, ...], text: bytes) -> NDArray[Any]:
        if spec.datatype == BYTES:
            return np.full(shape, text, object)
        return np.zeros(shape, numpy_dtype(spec.datatype))

    return _candidates(signature, rows, make)


def random(signature: Signature, rows: int) -> Iterator[Inputs]:
    """Inputs to compare answers on, the same in every process, candidates as in :func:`zeros`."""
    generator = np.random.default_rng(_SEED)

    def make(spec: TensorSpec, shape: tuple[int, ...], text: bytes) -> NDArray[Any]:
        dtype = numpy_dtype(spec.datatype)
        if spec.datatype == BYTES:
            return np.full(shape, text, object)
        if dtype.kind == "f":
            return np.asarray(generator.random(shape), dtype)
        # Numbers that index a table must lie in it: 0 and 1 nearly always do.
        most = 255 if dtype == np.uint8 else 1
        return np.asarray(generator.integers(0, most, shape, endpoint=True), dtype)

    return _candidates(signature, rows, make)


def _candidates(signature: Signature, rows: int, make: _Make) -> Iterator[Inputs]:
    has_sizes = any(-1 in spec.shape[1:] for spec in signature.inputs)
    has_texts = any(spec.datatype == BYTES for spec in signature.inputs)
    for size in _SIZES if has_sizes else _SIZES[:1]:
        for text in _TEXTS if has_texts else _TEXTS[:1]:
            yield {spec.name: make(spec, _shape(spec.shape, rows, size), text) for spec in signature.inputs}


def _shape(shape: tuple[int, ...], rows: int, size: int) -> tuple[int, ...]:
    if not shape:
        return ()
    first = rows if shape[0] == -1 else shape[0]
    return (first, *(size if dimension == -1 else dimension for dimension in shape[1:]))
