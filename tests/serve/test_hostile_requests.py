"""Requests made to hurt: each is refused with what is wrong, in little memory, and the replica goes on."""

from __future__ import annotations

import json
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.errors import ArgosyError, InvalidInput, TooLarge
from argosy.serve.model_server.grpc_messages import SERVICE, message_types
from argosy.serve.model_server.grpc_server import read_request
from argosy.serve.model_server.infer_call import InferCall
from argosy.serve.model_server.instances import InputLimits
from argosy.serve.model_server.open_inference import parse_infer
from argosy.serve.model_server.predict import parse_predict
from argosy.serve.model_server.served import Served

from .calm_model import MODULE, Calm
from .harness import asynchronous
from .replicas import replica

CALM = Served(Calm(), ("digits",))
HUGE = 2**62
LONG = "a" * 200_000


def nested(depth: int, leaf: str = "1") -> str:
    return "[" * depth + leaf + "]" * depth


def tensor(**parts: str) -> str:
    whole = {"name": '"x"', "datatype": '"FP32"', "shape": "[1, 2]", "data": "[1, 2]", **parts}
    return "{" + ", ".join(f'"{key}": {value}' for key, value in whole.items()) + "}"


def infer(more: str = "", **parts: str) -> str:
    return f'{{"inputs": [{tensor(**parts)}]{more}}}'


def pair(texts: str) -> str:
    first = '{"name": "a", "datatype": "INT64", "shape": [1], "data": [1]}'
    second = f'{{"name": "b", "datatype": "BYTES", "shape": [1], "data": {texts}}}'
    return f'{{"inputs": [{first}, {second}], "parameters": {{"signature_name": "pair"}}}}'


INFER = {
    "a product of sizes of thousands of digits": infer(shape=json.dumps([HUGE] * 300)),
    "sizes that are slow to multiply": infer(shape=json.dumps([HUGE] * 40_000)),
    "more dimensions than arrays have": infer(shape=json.dumps([1] * 65), data="[5]"),
    "no values of a huge shape": infer(shape=f"[0, {2**40}, {2**40}]", data="[]"),
    "a size beyond 64 bits": infer(shape=f"[0, {2**64 - 1}]", data="[]"),
    "a negative size": infer(shape="[-1, 2]"),
    "two negative sizes": infer(shape="[-1, -2]"),
    "a shape of depth": infer(shape=nested(1000)),
    "values of depth": infer(data=nested(1000)),
    "deeper than JSON is read": infer(data=nested(100_000)),
    "texts of depth": pair(nested(1000, '"a"')),
    "texts of more dimensions than arrays have": pair(nested(70, '"a"')),
    "uneven texts": pair('[["a"], ["a", "b"]]'),
    "texts and lists": pair('["a", ["b"]]'),
    "a size of binary data of depth": infer(parameters=f'{{"binary_data_size": {nested(1000)}}}'),
    "binary data that is not there": infer(parameters=f'{{"binary_data_size": {HUGE}}}'),
    "a negative size of binary data": infer(parameters='{"binary_data_size": -1}'),
    "classes of depth": infer(
        f', "outputs": [{{"name": "y", "parameters": {{"classification": {nested(900)}}}}}]'
    ),
    "an output a thousand times": infer(f', "outputs": {json.dumps([{"name": "y"}] * 1000)}'),
    "a long name": infer(name=json.dumps(LONG)),
    "a long datatype": infer(datatype=json.dumps(LONG)),
    "not a number": infer(data="[NaN, 1]"),
    "infinity": infer(data="[1, -Infinity]"),
    "more than a float holds": infer(data="[1e400, 1]"),
    "more than this float holds": infer(data="[1e300, 1]"),
    "half a character": infer(name='"\\ud800"'),
    "a name of other characters": infer(name='"\\u0000\\ud83d\\ude00"'),
    "no inputs": '{"inputs": []}',
}
PREDICT = {
    "a long text beside many numbers": json.dumps({"instances": [[LONG] + [1] * 2000]}),
    "a long text behind many numbers": json.dumps({"inputs": [[1] * 2000, [LONG]]}),
    "numbers of depth": f'{{"instances": {nested(1000)}}}',
    "texts under lists": json.dumps({"instances": [[[1, 2]], LONG]}),
    "a number of many digits": f'{{"instances": [[{"9" * 5000}, 1]]}}',
    "a whole number beyond 64 bits": json.dumps(
        {"signature_name": "pair", "inputs": {"a": [2**70], "b": ["a"], "c": [[True, True]]}}
    ),
    "a whole number beyond its datatype": json.dumps(
        {"signature_name": "fixed", "inputs": {"x": [[256, 0], [0, 0]], "scale": 1}}
    ),
    "an unknown signature of a long name": json.dumps({"signature_name": LONG, "instances": [1]}),
    "a signature that is a list": '{"signature_name": [], "instances": [1]}',
    "many empty lists": json.dumps({"instances": [[]] * 50_000}),
    "many unequal lists": json.dumps({"instances": [[1], [1, 2]] * 10_000}),
}
BODIES = [("infer", name, body) for name, body in INFER.items()]
BODIES += [("predict", name, body) for name, body in PREDICT.items()]
ALLOWED_MEGABYTES = 64


def read(kind: str, body: bytes) -> Any:
    if kind == "predict":
        return parse_predict(CALM, body).inputs()
    return parse_infer(CALM, "digits", body, None).inputs()


@pytest.mark.parametrize(
    ("kind", "body"), [(kind, body) for kind, _, body in BODIES], ids=[one[1] for one in BODIES]
)
def test_a_hostile_body_is_refused_in_little_memory(kind: str, body: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((InvalidInput, TooLarge)):
            read(kind, body.encode())
        assert tracemalloc.get_traced_memory()[1] < ALLOWED_MEGABYTES * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [b"", b"-1", b"1.5", b"0x10", b"9" * 5000, b"\xb2", b"100000", b"1 1"])
def test_where_json_ends_is_a_number_within_the_body(length: bytes) -> None:
    with pytest.raises(
        InvalidInput, match=r"Inference-Header-Content-Length is '.{0,50}', expected a number"
    ):
        parse_infer(CALM, "digits", infer().encode(), length)


SIZES = st.integers(-3, 4) | st.sampled_from([2**31, 2**32, HUGE, 2**63 - 1, -(2**63)])
BINARY_SIZES = SIZES | st.integers(0, 40) | st.floats() | st.none() | st.booleans() | st.text(max_size=3)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.lists(SIZES, max_size=4), BINARY_SIZES), max_size=3),
    st.binary(max_size=40),
    st.data(),
)
def test_binary_tensors_that_lie_of_their_sizes_are_refused(
    given_tensors: list[tuple[list[int], Any]], tail: bytes, data: st.DataObject
) -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": size}}
        for shape, size in given_tensors
    ]
    head = json.dumps({"inputs": inputs}).encode()
    length = data.draw(st.just(len(head)) | st.integers(0, len(head) + len(tail) + 2))
    with suppress(InvalidInput):
        call = parse_infer(CALM, "digits", head + tail, b"%d" % length)
        assert sum(array.nbytes for array in call.inputs().values()) == len(tail)


LENGTHS = st.integers(0, 5) | st.sampled_from([2**31, 2**32 - 1])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(LENGTHS, st.binary(max_size=5)), max_size=4), st.integers(-1, 5))
def test_byte_strings_that_lie_of_their_lengths_are_refused(
    strings: list[tuple[int, bytes]], count: int
) -> None:
    request = message_types()["ModelInferRequest"](model_name="digits")
    request.parameters["signature_name"].string_param = "pair"
    request.inputs.add(name="b", datatype="BYTES", shape=[count])
    request.raw_input_contents.append(b"".join(struct.pack("<I", size) + data for size, data in strings))
    # The other inputs are missing, so that it is never right.
    with pytest.raises(InvalidInput):
        InferCall(CALM, read_request(request), request.ByteSize(), lambda response: response)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_grpc_request_has_a_shape_or_contents_that_raise_anything_but_our_errors(
    data: st.DataObject,
) -> None:
    request = message_types()["ModelInferRequest"](model_name="digits")
    for _ in range(data.draw(st.integers(0, 3))):
        shape = data.draw(st.lists(SIZES, max_size=40))
        request.inputs.add(name=data.draw(st.sampled_from("xy")), datatype="FP32", shape=shape)
    request.raw_input_contents.extend(data.draw(st.lists(st.binary(max_size=40), max_size=3)))
    for name in data.draw(st.lists(st.sampled_from("yz"), max_size=3)):
        request.outputs.add(name=name).parameters["classification"].int64_param = data.draw(SIZES.filter(abs))
    with suppress(ArgosyError):
        call = InferCall(CALM, read_request(request), request.ByteSize(), lambda response: response)
        call.answer(Calm().run(call.inputs(), call.signature))


@pytest.mark.slow
@asynchronous
async def test_a_replica_refuses_every_hostile_body_and_goes_on(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served:
        paths = {"infer": "/v2/models/digits/infer", "predict": "/v1/models/digits:predict"}
        for kind, name, body in BODIES:
            response = await served.ask("POST", paths[kind], body.encode())
            document = json.loads(response.body)
            assert (response.status in (400, 413), {"error", "code"} <= document.keys()) == (True, True), name
            assert len(response.body) < 10_000, name
        assert (await served.ask("POST", paths["infer"], infer().encode())).status == 200
        assert "Traceback" not in served.log.read_text()


def hostile_messages() -> dict[str, Any]:
    def request(shape: list[int], *raw: bytes, name: str = "x", datatype: str = "FP32") -> Any:
        message = message_types()["ModelInferRequest"](model_name="digits", raw_input_contents=raw)
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        return message

    eight = bytes(8)
    twice = request([1, 2], eight)
    for _ in range(2):
        twice.outputs.add(name="y")
    return {
        "fewer bytes than the shape says": request([1, 2], bytes(7)),
        "more bytes than the shape says": request([1, 2], bytes(9)),
        "no bytes": request([1, 2], b""),
        "no contents": request([1, 2]),
        "more tensors than inputs": request([1, 2], eight, eight),
        "negative sizes": request([-1, -2], eight),
        "a product beyond 64 bits": request([2**32, 2**32, 2**32], eight),
        "a product that is 2 modulo 2**64": request([2**63 - 1, 2**63 - 1, 2], eight),
        "thousands of sizes": request([HUGE] * 5000, eight),
        "no values of a huge shape": request([0, 2**40, 2**40], b""),
        "no rows": request([0, 2], b""),
        "a long name": request([1, 2], eight, name="ä" * 200_000),
        "a long datatype": request([1, 2], eight, datatype="\x00\n" * 5000),
        "an output twice": twice,
    }


@pytest.mark.slow
@asynchronous
async def test_grpc_refuses_every_hostile_message_as_an_invalid_argument(tmp_path: Path) -> None:
    async with (
        replica(tmp_path, tmp_path, module=MODULE) as served,
        grpc.aio.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
    ):
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", request_serializer=lambda one: one.SerializeToString()
        )
        for name, message in hostile_messages().items():
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call(message, timeout=20)
            assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (name, failed.value.details())
            assert failed.value.details(), name
        good = message_types()["ModelInferRequest"](model_name="digits", raw_input_contents=[bytes(8)])
        good.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        assert await call(good, timeout=20)
        assert "Traceback" not in served.log.read_text()


@pytest.mark.slow
@asynchronous
async def test_a_large_grpc_message_is_answered_whole_or_refused_with_what_is_wrong(tmp_path: Path) -> None:
    rows = 300_000
    options = [("grpc.max_receive_message_length", -1)]
    async with (
        replica(tmp_path, tmp_path, module=MODULE) as served,
        grpc.aio.insecure_channel(f"127.0.0.1:{served.grpc_port}", options=options) as channel,
    ):
        types = message_types()
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=lambda one: one.SerializeToString(),
            response_deserializer=types["ModelInferResponse"].FromString,
        )
        message = types["ModelInferRequest"](model_name="digits")
        tensor = message.inputs.add(name="x", datatype="FP32", shape=[rows, 2])
        tensor.contents.fp32_contents.extend([0.0, 20.0] * rows)
        answer = (await call(message, timeout=30)).outputs[0]
        assert (list(answer.shape), list(answer.contents.fp32_contents)) == ([rows, 2], [0.0, 1.0] * rows)
        tensor.shape[0] += 1
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(message, timeout=30)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert f"expected {2 * rows + 2} for shape" in str(failed.value.details())


def test_more_instances_than_are_taken_are_not_looked_at() -> None:
    body = b'{"instances": [' + b'"a",' * 3_000_000 + b"1]}"
    limits = InputLimits(input_values=1000)
    with pytest.raises(TooLarge, match="holds 3000001 instances, at most 500 are taken"):
        parse_predict(Served(Calm(), ("digits",), limits=limits), body)


def test_more_elements_than_a_shape_has_values_are_not_looked_at() -> None:
    with pytest.raises(InvalidInput, match=r"has 3 elements, expected 2 values for shape \[1, 2\]"):
        parse_infer(CALM, "digits", infer(data='["a", [], 1]').encode(), None)
