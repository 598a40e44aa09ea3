"""An inference of the Open Inference Protocol (V2), before and after it is JSON or protocol buffers.

For a model that knows how images are preprocessed, the datatype says what is sent: BYTES [n] are encoded
images and UINT8 [n, height, width, channels] raw pixels, both preprocessed here; the model's own datatype is
given to it as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from argosy.errors import InvalidInput, TooLarge
from argosy.serve.http.messages import Answer
from argosy.serve.model_server.inference import Outputs
from argosy.serve.model_server.instances import decode_images
from argosy.serve.model_server.served import Served
from argosy.serve.model_server.tensors import (
    DTYPES,
    Tensor,
    batch_of,
    check_shape,
    check_sizes,
    from_bytes,
    from_json,
    shaped,
)
from argosy.serve.models.model import DEFAULT_SIGNATURE, Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class GivenTensor:
    """``data`` is raw bytes, or the values, flat or nested."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """``classes`` asks for the best so many classes instead of the values; ``binary`` for raw bytes."""

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """No ``outputs`` asks for all of them, each ``binary`` or not."""

    model: str
    id: str
    inputs: tuple[GivenTensor, ...]
    outputs: tuple[WantedOutput, ...]
    binary: bool
    signature: str = DEFAULT_SIGNATURE


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What was asked for, by name and in that order, with whether it is wanted as raw bytes."""

    request: InferRequest
    version: int
    outputs: tuple[tuple[str, Tensor, bool], ...]


class InferCall:
    """A checked request. ``write`` makes the answer of its protocol."""

    def __init__(
        self, served: Served, request: InferRequest, size: int, write: Callable[[InferResponse], Any]
    ) -> None:
        signature = served.signature(request.signature)
        self._served = served
        self._request = request
        self._write = write
        self._files: list[bytes] | None = None
        self._tensors: Tensors = {}
        self._image_input = ""
        _check_outputs(request.outputs, signature.outputs)
        self.signature = request.signature
        self.weight = size
        self.trace = ""
        self.abandon: Callable[[Answer], None] | None = None
        self.rows = 1
        self.key: Hashable = None
        if served.takes_images(request.signature):
            self._take_images(request, signature.inputs[0])
        if self._files is None:
            self._tensors = self._tensors or _tensors(request.inputs, signature.inputs)
            self.rows, self.key = batch_of(self._tensors, signature, request.signature)

    def inputs(self) -> Tensors:
        preprocessing = self._served.model.preprocessing
        if self._files is None or preprocessing is None:
            return self._tensors
        files, name = self._files, self._image_input
        images = decode_images(files, len(files), preprocessing, self._served.limits, _place(name))
        return {name: images}

    def answer(self, outputs: Outputs) -> Any:
        request = self._request
        wanted = request.outputs or tuple(WantedOutput(name, request.binary) for name in outputs)
        named = tuple((one.name, self._output(one, outputs[one.name]), one.binary) for one in wanted)
        return self._write(InferResponse(request, self._served.version, named))

    def _take_images(self, request: InferRequest, spec: TensorSpec) -> None:
        """Encoded images or raw pixels, if that is what is sent."""
        preprocessing = self._served.model.preprocessing
        assert preprocessing is not None
        if len(request.inputs) != 1 or request.inputs[0].name != spec.name:
            return
        given = request.inputs[0]
        place = _place(given.name)
        if given.datatype == "BYTES":
            files = [bytes(one) for one in array_of(given).ravel()]
            self._check_count(len(files), place)
            self._files, self._image_input = files, spec.name
            self.rows, self.key = len(files), "images"
        elif given.datatype == "UINT8" and spec.datatype != "UINT8":
            pixels = array_of(given)
            accepted = (preprocessing.shape, preprocessing.shape[:2])[
                : 2 if preprocessing.channels == 1 else 1
            ]
            if pixels.shape[1:] not in accepted:
                raise InvalidInput(
                    f"{place} has shape {list(pixels.shape)}, expected {[-1, *preprocessing.shape]}",
                    hint="resize the images first, or send the encoded files as BYTES: they are resized here",
                )
            self._check_count(len(pixels), place)
            self._tensors = {spec.name: preprocessing.from_arrays(pixels)}

    def _check_count(self, count: int, place: str) -> None:
        preprocessing = self._served.model.preprocessing
        assert preprocessing is not None
        most = max(1, self._served.limits.input_values // int(np.prod(preprocessing.shape)))
        if count > most:
            raise TooLarge(
                f"{place} holds {count} images, at most {most} are taken",
                hint="send fewer images in a request",
            )
        if not count:
            raise InvalidInput(f"{place} holds no image, expected at least one")

    def _output(self, wanted: WantedOutput, array: Tensor) -> Tensor:
        return classified(array, wanted.classes, self._served.model.labels) if wanted.classes else array


def array_of(given: GivenTensor) -> Tensor:
    """The array a request holds. Raises InvalidInput."""
    place = _place(given.name)
    if given.datatype not in DTYPES:
        known = ", ".join(DTYPES)
        raise InvalidInput(f"{place} has the datatype {given.datatype!r}", hint=f"datatypes: {known}")
    check_sizes(given.shape, place)
    if isinstance(given.data, bytes):
        return from_bytes(given.data, given.datatype, given.shape, place)
    most = math.prod(given.shape)
    if 0 < most < len(given.data):
        raise InvalidInput(
            f"{place} has {len(given.data)} elements, expected {most} values for shape {list(given.shape)}",
            hint="send shape and data of the same array",
        )
    return shaped(from_json(given.data, given.datatype, place), given.shape, place)


def classified(array: Tensor, classes: int, labels: Sequence[str]) -> Tensor:
    """BYTES [rows, n]: ``value:index:label`` of the best ``classes`` of each row, best first."""
    if array.ndim == 0 or not array.shape[-1] or array.dtype.kind not in "fiub":
        raise InvalidInput(f"an output of shape {list(array.shape)} can not be classified")
    # Neither booleans nor numbers without a sign have a negative.
    rows = array.reshape(-1, array.shape[-1]).astype(np.float64)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :classes]
    texts = [
        [_class(row[index], index, labels) for index in order] for row, order in zip(rows, best, strict=True)
    ]
    result = np.empty(best.shape, object)
    for position, line in enumerate(texts):
        result[position] = line
    return result.reshape((*array.shape[:-1], best.shape[1]))


def _class(value: Any, index: int, labels: Sequence[str]) -> bytes:
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{value:f}:{index}{label}".encode()


def _tensors(given: Sequence[GivenTensor], specs: Sequence[TensorSpec]) -> Tensors:
    by_name: Mapping[str, TensorSpec] = {spec.name: spec for spec in specs}
    names = ", ".join(repr(name) for name in by_name)
    tensors: dict[str, Tensor] = {}
    for one in given:
        place = _place(one.name)
        spec = by_name.get(one.name)
        if spec is None:
            raise InvalidInput(f"the model has no input {one.name!r}", hint=f"inputs of the model: {names}")
        if one.name in tensors:
            raise InvalidInput(f"{place} is given twice")
        if one.datatype != spec.datatype:
            raise InvalidInput(
                f"{place} has the datatype {one.datatype!r}, expected {spec.datatype!r}",
                hint="GET the model's metadata for its inputs",
            )
        tensors[one.name] = array_of(one)
        check_shape(tensors[one.name], spec, place)
    if missing := [name for name in by_name if name not in tensors]:
        raise InvalidInput(f"the request has no input {missing[0]!r}", hint=f"inputs of the model: {names}")
    return tensors


def _check_outputs(wanted: Sequence[WantedOutput], specs: Sequence[TensorSpec]) -> None:
    names = [spec.name for spec in specs]
    for one in wanted:
        if one.name not in names:
            known = ", ".join(repr(name) for name in names)
            raise InvalidInput(f"the model has no output {one.name!r}", hint=f"outputs of the model: {known}")
    if len({one.name for one in wanted}) < len(wanted):
        # However large the answer is, a small request would multiply it.
        raise InvalidInput("an output is asked for twice", hint="name every output once")


def _place(name: str) -> str:
    return f"input {name!r}"
