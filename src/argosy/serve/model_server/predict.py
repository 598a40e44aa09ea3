"""KServe V1 and TensorFlow Serving's REST form of a prediction: rows (``instances``) or columns (``inputs``).

With ``{"parameters": {"labels": true}}``, or ``?labels=true``, the name of the best class of each row stands
beside the predictions, when the model knows names for what it answers.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Hashable
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson

from argosy.errors import ArgosyError, InvalidInput, TooLarge
from argosy.serve.http.messages import Answer
from argosy.serve.model_server import documents
from argosy.serve.model_server.images import weight_of
from argosy.serve.model_server.inference import Outputs
from argosy.serve.model_server.instances import decode_instances
from argosy.serve.model_server.served import Served
from argosy.serve.model_server.tensors import Tensor, batch_of, check_shape, from_json, json_type, to_json
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec

# A larger request is not parsed in the loop's thread.
PARSED_AT_ONCE_BYTES = 1024 * 1024
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_IMAGES = 'send {"instances": [{"b64": "<base64 of an image file>"}]}'
_TENSORS = 'send {"instances": [<one input of the model>, ...]}'


class PredictCall:
    """A parsed request; images are decoded with the batch."""

    __slots__ = (
        "_images",
        "_is_columnar",
        "_labels",
        "_place",
        "_served",
        "_tensors",
        "abandon",
        "key",
        "rows",
        "signature",
        "trace",
        "weight",
    )

    def __init__(self, served: Served, signature: str, *, is_columnar: bool, with_labels: bool) -> None:
        self._served = served
        self._is_columnar = is_columnar
        self._labels = served.model.labels if with_labels else ()
        self._place = "inputs" if is_columnar else "instances"
        self._images: list[Any] = []
        self._tensors: Tensors = {}
        self.signature = signature
        self.rows = 1
        self.key: Hashable = None
        self.weight = 0
        self.trace = ""
        self.abandon: Callable[[Answer], None] | None = None

    def take_images(self, images: list[Any], size: int) -> None:
        self._images = images
        self.rows = len(images)
        self.key = "images"
        self.weight = size + weight_of(images)

    def take_tensors(self, tensors: Tensors, signature: Signature, size: int) -> None:
        self._tensors = tensors
        self.rows, self.key = batch_of(tensors, signature, self.signature)
        self.weight = size

    def inputs(self) -> Tensors:
        preprocessing = self._served.model.preprocessing
        if not self._images or preprocessing is None:
            return self._tensors
        name = self._served.model.signatures[self.signature].inputs[0].name
        return {name: decode_instances(self._images, preprocessing, self._served.limits, self._place)}

    def answer(self, outputs: Outputs) -> Answer:
        """Bare rows for a single output, objects by name for several, as TensorFlow Serving does."""
        if len(outputs) == 1:
            (single,) = outputs.values()
            values: Any = to_json(single)
        else:
            columns = {name: to_json(array) for name, array in outputs.items()}
            values = columns if self._is_columnar else _rows(columns, outputs)
        document: dict[str, Any] = {"outputs" if self._is_columnar else "predictions": values}
        if self._labels:
            document["labels"] = best_labels(outputs, self._labels)
        body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        # What is no JSON number is written as null: looking for it costs less than looking at each number.
        if b"null" in body and not all(is_finite(array) for array in outputs.values()):
            raise NotFinite()
        return Answer(200, body)


class Deferred:
    """A request whose body is large: parsed, too, where it does not keep others waiting, and run alone."""

    def __init__(self, parse: Callable[[], PredictCall | Any], rows: int, size: int) -> None:
        self._parse = parse
        self._call: Any = None
        self.signature = DEFAULT_SIGNATURE
        self.rows = rows
        self.key: Hashable = None
        self.weight = size
        self.trace = ""
        self.abandon: Callable[[Answer], None] | None = None

    def inputs(self) -> Tensors:
        self._call = self._parse()
        self.signature, self.rows = self._call.signature, self._call.rows
        inputs: Tensors = self._call.inputs()
        return inputs

    def answer(self, outputs: Outputs) -> Any:
        return self._call.answer(outputs)


def parse_predict(served: Served, body: bytes, query: bytes = b"") -> PredictCall:
    """Raises InvalidInput or TooLarge that names the place at fault."""
    example = _IMAGES if served.takes_images(DEFAULT_SIGNATURE) else _TENSORS
    document = documents.parse(body, example)
    name = document.get("signature_name", DEFAULT_SIGNATURE)
    if name != DEFAULT_SIGNATURE:
        name = _signature_name(name)
    signature = served.signature(name)
    place = _place(document, example)
    with_labels = _wants_labels(document, query)
    if with_labels and not served.model.labels:
        raise InvalidInput("the model has no labels", hint="ask without, or export it with class names")
    call = PredictCall(served, name, is_columnar=place == "inputs", with_labels=with_labels)
    value = document[place]
    most = served.most_rows(name)
    if served.takes_images(name):
        images = _images(value, place, signature.inputs[0].name, example)
        _check_rows(len(images), most)
        call.take_images(images, len(body))
    elif place == "inputs":
        call.take_tensors(_columns(value, signature), signature, len(body))
    else:
        rows = _list(value, place, example)
        # Before each is looked at: millions of them are told to be too many in no time.
        _check_rows(len(rows) if signature.batched else 1, most)
        call.take_tensors(_stacked(rows, signature), signature, len(body))
    _check_rows(call.rows, most)
    return call


def best_labels(outputs: Outputs, labels: tuple[str, ...]) -> list[str]:
    """The name of the best class of each row. Raises InvalidInput when no output has a number a class."""
    for array in outputs.values():
        if array.ndim == 2 and array.shape[1] == len(labels):
            return [labels[index] for index in np.argmax(array, axis=1)]
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    raise InvalidInput(f"the model has {len(labels)} labels, and no output for each ({shapes})")


def _rows(columns: dict[str, Any], outputs: Outputs) -> list[dict[str, Any]]:
    sizes = {len(array) if array.ndim else -1 for array in outputs.values()}
    if len(sizes) > 1 or -1 in sizes:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
        raise InvalidInput(
            f"the model's outputs are not one for each instance ({shapes})",
            hint="send 'inputs' instead of 'instances': then outputs are returned as they are",
        )
    return [{name: column[row] for name, column in columns.items()} for row in range(*sizes)]


def _signature_name(name: Any) -> str:
    if not isinstance(name, str):
        raise InvalidInput(f"signature_name is {json_type(name)}, expected text", hint="it may be left out")
    return name or DEFAULT_SIGNATURE


def _place(document: dict[str, Any], example: str) -> str:
    if "instances" in document:
        if "inputs" in document:
            raise InvalidInput("the request has both 'instances' and 'inputs'", hint="send one of them")
        return "instances"
    if "inputs" not in document:
        raise InvalidInput(
            f"the request has no 'instances' (it has {documents.keys_of(document)})", hint=example
        )
    return "inputs"


def _wants_labels(document: dict[str, Any], query: bytes) -> bool:
    if "parameters" in document and documents.flag(documents.parameters(document), "labels", "parameters"):
        return True
    if not query:
        return False
    words = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("labels", ["false"])
    flag = _FLAGS.get(words[-1].lower())
    if flag is None:
        raise InvalidInput(f"'labels' is {reprlib.repr(words[-1])} in the query, expected true or false")
    return flag


def _list(value: Any, place: str, example: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(f"{place!r} is {json_type(value)}, expected a list", hint=example)
    if not value:
        raise InvalidInput(f"{place!r} is an empty list, expected at least one instance", hint=example)
    return value


def _images(value: Any, place: str, name: str, example: str) -> list[Any]:
    """Each image may stand under the name of the input, as in TensorFlow Serving's rows."""
    if place == "inputs" and isinstance(value, dict) and set(value) == {name}:
        value = value[name]
    images = _list(value, place, example)
    first = images[0]
    if isinstance(first, dict) and name in first and name != "b64":
        return [one[name] if isinstance(one, dict) and set(one) == {name} else one for one in images]
    return images


def _columns(value: Any, signature: Signature) -> Tensors:
    specs = signature.inputs
    names = {spec.name for spec in specs}
    if not (isinstance(value, dict) and (len(specs) > 1 or set(value) == names)):
        if len(specs) > 1:
            raise InvalidInput(
                f"'inputs' is {json_type(value)}, expected an object with {_names(specs)}",
                hint="send every input by its name",
            )
        return {specs[0].name: _tensor(value, specs[0], "inputs")}
    _check_names(set(value), specs, "inputs")
    return {spec.name: _tensor(value[spec.name], spec, f"inputs.{spec.name}") for spec in specs}


def _stacked(instances: list[Any], signature: Signature) -> Tensors:
    specs = signature.inputs
    first = instances[0]
    is_named = isinstance(first, dict) and (len(specs) > 1 or set(first) == {specs[0].name})
    if not is_named:
        if len(specs) > 1:
            raise InvalidInput(
                f"instances[0] is {json_type(first)}, expected an object with {_names(specs)}",
                hint="send every input by its name",
            )
        return {specs[0].name: _tensor(instances, specs[0], "instances")}
    for position, one in enumerate(instances):
        if not isinstance(one, dict):
            raise InvalidInput(f"instances[{position}] is {json_type(one)}, but instances[0] is an object")
        _check_names(set(one), specs, f"instances[{position}]")
    return {spec.name: _tensor([one[spec.name] for one in instances], spec, _of(spec)) for spec in specs}


def _of(spec: TensorSpec) -> str:
    return f"{spec.name} of instances"


def _tensor(value: Any, spec: TensorSpec, place: str) -> Tensor:
    array = from_json(value, spec.datatype, place)
    check_shape(array, spec, place)
    return array


def _check_names(names: set[str], specs: tuple[TensorSpec, ...], place: str) -> None:
    expected = {spec.name for spec in specs}
    if missing := sorted(expected - names):
        raise InvalidInput(f"{place} has no {missing[0]!r}", hint=f"inputs of the model: {_names(specs)}")
    if unknown := sorted(names - expected):
        raise InvalidInput(f"{place} has {unknown[0]!r}, which is no input", hint=f"inputs: {_names(specs)}")


def _names(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(repr(spec.name) for spec in specs)


def _check_rows(rows: int, most: int) -> None:
    if rows > most:
        raise TooLarge(
            f"the request holds {rows} instances, at most {most} are taken",
            hint="send fewer instances in a request",
        )


def is_finite(array: Tensor) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


class NotFinite(ArgosyError):
    """The model answered what JSON can not say."""

    code = "not_finite"

    def __init__(self) -> None:
        super().__init__(
            "the model answered NaN or infinity, which is not a JSON number",
            hint="look at the values that were sent; binary tensors (binary_data_output) can hold it",
        )
