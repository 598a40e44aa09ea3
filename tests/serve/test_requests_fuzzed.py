"""Whatever is sent, by whichever protocol, is answered or refused with our errors."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.data.preprocessing import ImagePreprocessing
from argosy.errors import ArgosyError, InvalidInput
from argosy.serve.model_server.grpc_messages import message_types
from argosy.serve.model_server.grpc_server import read_request
from argosy.serve.model_server.images import weight_of
from argosy.serve.model_server.infer_call import InferCall, classified
from argosy.serve.model_server.inference import Call
from argosy.serve.model_server.open_inference import parse_infer
from argosy.serve.model_server.predict import parse_predict
from argosy.serve.model_server.served import Served
from argosy.serve.model_server.tensors import DTYPES, datatype_of, from_bytes, from_json, to_bytes, to_json
from argosy.serve.models.model import DEFAULT_SIGNATURE, Signature, TensorSpec

from .models import b64, encode, pixels
from .strange_models import Strange


class Pictures(Strange):
    preprocessing = ImagePreprocessing(2, 2)  # type: ignore[assignment]
    signatures = {  # noqa: RUF012
        DEFAULT_SIGNATURE: Signature(
            (TensorSpec("x", "FP32", (-1, 2, 2, 1)),), (TensorSpec("y", "FP32", (-1, 2)),), True
        )
    }


TENSORS = Served(Strange(), ("digits",))
PICTURES = Served(Pictures(), ("digits",))
SERVED = st.sampled_from([TENSORS, PICTURES])

NUMBERS = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
LEAVES = NUMBERS | st.none() | st.text(max_size=5) | st.just(b64(encode(pixels()[0])))
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=12)
ROWS = st.dictionaries(st.sampled_from(["x", "a", "b", "b64", "image_bytes"]), NESTED, max_size=3)
NAMES = st.sampled_from([DEFAULT_SIGNATURE, "pair", "fixed", "", "other"])
PREDICT = st.fixed_dictionaries(
    {},
    optional={
        "instances": NESTED | st.lists(ROWS, max_size=3),
        "inputs": NESTED | ROWS,
        "signature_name": NAMES | NESTED,
        "parameters": NESTED | st.dictionaries(st.just("labels"), NESTED),
    },
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "a", "b"]) | NESTED,
        "datatype": st.sampled_from(list(DTYPES)) | NESTED,
        "shape": st.lists(st.integers(-1, 4), max_size=4) | NESTED,
        "data": NESTED | st.lists(st.floats(0, 255), max_size=8),
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "binary_data", "classification"]), NESTED
        ),
    },
)
INFER = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=3) | NESTED,
        "inputs": st.lists(TENSOR, max_size=3) | NESTED,
        "outputs": st.lists(TENSOR, max_size=2) | NESTED,
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_output", "signature_name"]), NESTED | NAMES
        ),
    },
)


def run(call: Call) -> None:
    """As a batch of one is."""
    inputs = call.inputs()
    if call.key is not None:
        assert {len(array) for array in inputs.values()} == {call.rows}
    signature = call.signature
    if signature == DEFAULT_SIGNATURE and next(iter(inputs.values())).ndim != 2:
        return
    call.answer(Strange().run(inputs, signature))


@settings(max_examples=300, deadline=None)
@given(SERVED, PREDICT)
def test_no_prediction_raises_anything_but_our_errors(served: Served, document: dict[str, Any]) -> None:
    with suppress(ArgosyError):
        run(parse_predict(served, json.dumps(document).encode()))


@settings(max_examples=300, deadline=None)
@given(SERVED, INFER, st.binary(max_size=64))
def test_no_inference_raises_anything_but_our_errors(
    served: Served, document: dict[str, Any], tail: bytes
) -> None:
    head = json.dumps(document).encode()
    with suppress(ArgosyError):
        run(parse_infer(served, "digits", head + tail, b"%d" % len(head)))


@settings(max_examples=300, deadline=None)
@given(SERVED, st.data())
def test_no_grpc_request_raises_anything_but_our_errors(served: Served, data: st.DataObject) -> None:
    request = message_types()["ModelInferRequest"](model_name="digits")
    for _ in range(data.draw(st.integers(0, 2))):
        tensor = request.inputs.add(
            name=data.draw(st.sampled_from(["x", "a", "b", ""])),
            datatype=data.draw(st.sampled_from([*DTYPES, "FP8", ""])),
            shape=data.draw(st.lists(st.integers(-1, 4), max_size=4)),
        )
        tensor.contents.fp32_contents.extend(data.draw(st.lists(st.floats(width=32), max_size=4)))
        tensor.contents.bytes_contents.extend(data.draw(st.lists(st.binary(max_size=3), max_size=2)))
    request.raw_input_contents.extend(data.draw(st.lists(st.binary(max_size=40), max_size=2)))
    with suppress(ArgosyError):
        run(InferCall(served, read_request(request), request.ByteSize(), lambda response: response))


@given(st.sampled_from(list(DTYPES)), st.binary(max_size=200), st.lists(st.integers(0, 5), max_size=3))
def test_raw_tensors_come_back_as_they_were(datatype: str, data: bytes, shape: list[int]) -> None:
    try:
        array = from_bytes(data, datatype, shape, "x")
    except InvalidInput:
        return
    assert (datatype_of(array), list(array.shape)) == (datatype, shape)
    back = from_bytes(to_bytes(array), datatype, shape, "x")
    if datatype == "BYTES":
        assert back.tolist() == array.tolist()
    else:
        assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("datatype", list(DTYPES))
def test_every_datatype_goes_through_json_unchanged(datatype: str) -> None:
    values = [["a", "b"]] if datatype == "BYTES" else [[True, False]] if datatype == "BOOL" else [[0, 100]]
    array = from_json(values, datatype, "x")
    assert (array.dtype, array.shape) == (DTYPES[datatype], (1, 2))
    assert orjson.loads(orjson.dumps(to_json(array), option=orjson.OPT_SERIALIZE_NUMPY)) == values


def test_pixels_that_are_not_sent_weigh_too() -> None:
    small, large = b64(encode(np.zeros((8, 8), np.uint8))), b64(encode(np.zeros((4000, 4000), np.uint8)))
    assert weight_of([small, {"image_bytes": small}, 3, None, {"b64": 1}]) < 100
    assert weight_of([large]) == 4000 * 4000 / 16


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f8"])
def test_values_of_every_datatype_are_classified_the_largest_first(dtype: str) -> None:
    rows = np.array([[0, 1, 0], [1, 0, 0]], dtype)
    best = [[one.split(b":")[1] for one in row] for row in classified(rows, 2, ()).tolist()]
    assert best == [[b"1", b"0"], [b"0", b"1"]]
    assert classified(rows, 1, ("a", "b", "c")).tolist() == [[b"1.000000:1:b"], [b"1.000000:0:a"]]


@pytest.mark.parametrize("array", [np.zeros(()), np.zeros((2, 0)), np.array(["a"], object)])
def test_what_has_no_classes_is_refused(array: Any) -> None:
    with pytest.raises(InvalidInput, match="can not be classified"):
        classified(array, 1, ())
