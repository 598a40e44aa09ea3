"""The Open Inference Protocol with the clients people have: tritonclient, and plain JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from .harness import asynchronous, until
from .models import encode, expected, make_model, pixels
from .replicas import Replica, replica
from .strange_models import LOOP, MODULE, NOT_A_NUMBER, RAISE

pytestmark = pytest.mark.slow

INFER = "/v2/models/digits/infer"


def http_client(served: Replica) -> Any:
    return triton_http.InferenceServerClient(f"127.0.0.1:{served.port}")


def grpc_client(served: Replica) -> Any:
    return triton_grpc.InferenceServerClient(f"127.0.0.1:{served.grpc_port}")


CLIENTS = pytest.mark.parametrize(
    ("library", "connect"), [(triton_http, http_client), (triton_grpc, grpc_client)], ids=["http", "grpc"]
)


@CLIENTS
@asynchronous
async def test_tritonclient_finds_out_what_there_is(
    tmp_path: Path, library: Any, connect: Callable[[Replica], Any]
) -> None:
    async with replica(make_model(tmp_path / "model"), tmp_path, version=3) as served:

        def use() -> None:
            client = connect(served)
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("digits")
            assert client.is_model_ready("digits", "3")
            assert not client.is_model_ready("digits", "4")
            assert not client.is_model_ready("other")
            server = _plain(client.get_server_metadata())
            assert server["name"] == "argosy"
            assert "binary_tensor_data" in server["extensions"]
            model = _plain(client.get_model_metadata("digits"))
            assert (model["versions"], model["platform"][:11]) == (["3"], "onnxruntime")
            assert model["inputs"][0]["name"] == "images"
            assert [int(size) for size in model["inputs"][0]["shape"]] == [-1, 28, 28, 1]
            assert model["outputs"][0]["datatype"] == "FP32"
            with pytest.raises(InferenceServerException, match="model 'other' does not exist"):
                client.get_model_metadata("other")

        await asyncio.to_thread(use)


def _plain(document: Any) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    from google.protobuf.json_format import MessageToDict

    plain: dict[str, Any] = MessageToDict(document, preserving_proto_field_name=True)
    return plain


@CLIENTS
@asynchronous
async def test_images_go_encoded_as_pixels_or_as_the_model_reads_them(
    tmp_path: Path, library: Any, connect: Callable[[Replica], Any]
) -> None:
    images = pixels(4)
    files = np.empty(4, object)
    files[:] = [encode(image) for image in images]
    given = {
        "BYTES": files,
        "UINT8": images[..., np.newaxis],
        "FP32": (images[..., np.newaxis] * np.float32(1 / 255)).astype(np.float32),
    }
    async with replica(make_model(tmp_path / "model", seed=2), tmp_path) as served:

        def use() -> None:
            client = connect(served)
            for datatype, array in given.items():
                tensor = library.InferInput("images", list(array.shape), datatype)
                tensor.set_data_from_numpy(array)
                result = client.infer("digits", [tensor], request_id="42")
                answer = result.as_numpy("probabilities")
                np.testing.assert_allclose(answer, expected(2, images), rtol=1e-4, atol=1e-6)
            wanted = library.InferRequestedOutput("probabilities", class_count=2)
            classes = client.infer("digits", [tensor], outputs=[wanted]).as_numpy("probabilities")
            assert classes.shape == (4, 2)
            value, index, label = classes[0][0].decode().split(":")
            best = expected(2, images)[0]
            assert (int(index), label) == (best.argmax(), f"class {best.argmax()}")
            assert float(value) == pytest.approx(best.max(), abs=1e-4)

        await asyncio.to_thread(use)


@CLIENTS
@asynchronous
async def test_several_inputs_and_outputs_numbers_and_byte_strings(
    tmp_path: Path, library: Any, connect: Callable[[Replica], Any]
) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served:

        def use() -> None:
            client = connect(served)
            a = library.InferInput("a", [2], "INT64")
            a.set_data_from_numpy(np.array([1, 2], np.int64))
            b = library.InferInput("b", [2], "BYTES")
            b.set_data_from_numpy(np.array([b"x", b"\xff\x00"], object))
            wanted = [library.InferRequestedOutput("text")]
            result = client.infer("digits", [b, a], outputs=wanted, parameters={"signature_name": "pair"})
            assert result.as_numpy("text").tolist() == [b"x1", b"\xff\x002"]
            assert result.as_numpy("sum") is None

        await asyncio.to_thread(use)


@CLIENTS
@asynchronous
async def test_what_is_wrong_is_said_with_the_status_of_the_protocol(
    tmp_path: Path, library: Any, connect: Callable[[Replica], Any]
) -> None:
    def tensor(array: Any, name: str = "x", datatype: str = "FP32") -> Any:
        one = library.InferInput(name, list(array.shape), datatype)
        one.set_data_from_numpy(array)
        return one

    good = np.ones((1, 2), np.float32)
    bad = [
        ([tensor(good, "z")], None, "the model has no input 'z'", "400", "INVALID_ARGUMENT"),
        (
            [tensor(np.ones((1, 3), np.float32))],
            None,
            "has shape [1, 3], expected [-1, 2]",
            "400",
            "INVALID_",
        ),
        (
            [tensor(good.astype(np.int64), "x", "INT64")],
            None,
            "datatype 'INT64', expected",
            "400",
            "INVALID_",
        ),
        ([tensor(good), tensor(good)], None, "given twice", "400", "INVALID_ARGUMENT"),
        ([tensor(good)], "w", "the model has no output 'w'", "400", "INVALID_ARGUMENT"),
        ([tensor(np.full((1, 2), RAISE, np.float32))], None, "RuntimeError: no", "500", "INTERNAL"),
    ]
    async with replica(tmp_path, tmp_path, module=MODULE) as served:

        def use() -> None:
            client = connect(served)
            for inputs, output, words, http_status, grpc_status in bad:
                outputs = [library.InferRequestedOutput(output)] if output else None
                with pytest.raises(InferenceServerException) as caught:
                    client.infer("digits", inputs, outputs=outputs)
                assert words in caught.value.message()
                status = str(caught.value.status())
                assert status.startswith(("StatusCode." + grpc_status, http_status)), status
            nan = client.infer("digits", [tensor(np.full((1, 2), NOT_A_NUMBER, np.float32))])
            assert np.isnan(nan.as_numpy("y")).all()
            assert client.infer("digits", [tensor(good)]).as_numpy("y").tolist() == [[2.0, 1.0]]

        await asyncio.to_thread(use)


@asynchronous
async def test_grpc_streams_answer_each_request_in_order_and_survive_a_bad_one(tmp_path: Path) -> None:
    results: list[tuple[Any, Any]] = []
    async with replica(tmp_path, tmp_path, module=MODULE) as served:

        def use() -> None:
            client = grpc_client(served)
            client.start_stream(lambda result, error: results.append((result, error)))
            for number in range(5):
                one = triton_grpc.InferInput("x", [1, 2], "FP32")
                one.set_data_from_numpy(np.full((1, 2), RAISE if number == 2 else number, np.float32))
                client.async_stream_infer("digits", [one], request_id=str(number))
            client.stop_stream()

        await asyncio.to_thread(use)
        await until(lambda: len(results) == 5, "every answer")
    values = [None if error else result.as_numpy("y")[0, 0] for result, error in results]
    assert values == [0.0, 2.0, None, 6.0, 8.0]


@asynchronous
async def test_grpc_callers_and_http_callers_share_batches(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE, max_batch_size=64) as served:
        client = triton_grpc.InferenceServerClient(f"127.0.0.1:{served.grpc_port}")
        one = triton_grpc.InferInput("x", [1, 2], "FP32")
        one.set_data_from_numpy(np.ones((1, 2), np.float32))
        answers = [await asyncio.to_thread(client.infer, "digits", [one]) for _ in range(3)]
        assert [answer.as_numpy("y").tolist() for answer in answers] == [[[2.0, 1.0]]] * 3
        metrics = (await served.ask("GET", "/metrics")).body.decode()
        assert 'argosy_requests_total{model_name="digits",model_version="1",status="200"' in metrics
        assert 'outcome="success"} 3' in metrics


@asynchronous
async def test_a_stopped_replica_answers_what_came_by_grpc_and_exits_zero(tmp_path: Path) -> None:
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        images = np.zeros((40_000, 28, 28, 1), np.uint8)
        one = triton_grpc.InferInput("images", list(images.shape), "UINT8")
        one.set_data_from_numpy(images)
        client = grpc_client(served)
        asked = asyncio.create_task(asyncio.to_thread(client.infer, "digits", [one]))
        await served.in_flight(1)
        served.runner.stop(served.runner.launched[0].attempt, "stopped")  # type: ignore[arg-type]
        assert (await asked).as_numpy("probabilities").shape == (40_000, 10)
        assert (await served.ended()).outcome.exit_code == 0


@asynchronous
async def test_the_plain_json_of_the_specification(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE, version=7) as served:

        def use() -> None:
            url = f"http://127.0.0.1:{served.port}/v2"
            assert requests.get(url, timeout=5).json()["name"] == "argosy"
            assert requests.get(f"{url}/", timeout=5).json()["name"] == "argosy"
            ready = requests.get(f"{url}/models/digits/versions/7/ready", timeout=5)
            assert (ready.status_code, ready.json()["ready"]) == (200, True)
            data = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
            body = {"id": "42", "inputs": [data], "outputs": [{"name": "y"}]}
            for path in ("models/digits/infer", "models/digits/versions/7/infer"):
                answer = requests.post(f"{url}/{path}", json=body, timeout=5)
                assert answer.json() == {
                    "model_name": "digits",
                    "model_version": "7",
                    "id": "42",
                    "outputs": [
                        {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 2.0, 6.0, 2.0]}
                    ],
                }
            nested = {"inputs": [{**data, "data": [[1, 2], [3, 4]]}]}
            assert requests.post(f"{url}/models/digits/infer", json=nested, timeout=5).status_code == 200
            assert (
                requests.post(f"{url}/models/digits/versions/8/infer", json=body, timeout=5).status_code
                == 404
            )
            assert requests.get(f"{url}/models/digits/infer", timeout=5).status_code == 405

        await asyncio.to_thread(use)


X = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
BAD: list[tuple[Any, str]] = [
    ({}, "the request has no 'inputs' (it has no keys)"),
    ({"inputs": {}}, "'inputs' is an object, expected a list"),
    ({"inputs": []}, "the request has no input 'x'"),
    ({"inputs": [3]}, "inputs[0] is a number, expected an object"),
    ({"inputs": [{**X, "name": None}]}, "inputs[0] has no 'name'"),
    ({"inputs": [{**X, "datatype": "FLOAT"}]}, "has the datatype 'FLOAT', expected 'FP32'"),
    ({"inputs": [{**X, "shape": [1, "2"]}]}, "inputs[0].shape is [1, '2'], expected a list of whole numbers"),
    ({"inputs": [{**X, "shape": [1, -2]}]}, "has shape [1, -2], expected sizes of at least 0"),
    ({"inputs": [{**X, "shape": [3, 2]}]}, "input 'x' holds 2 values, expected 6 for shape [3, 2]"),
    ({"inputs": [{**X, "shape": [2, 1]}]}, "input 'x' has shape [2, 1], expected [-1, 2]"),
    ({"inputs": [{**X, "data": 3}]}, "inputs[0].data is a number, expected a list"),
    ({"inputs": [{**X, "data": [1, "b"]}]}, "input 'x'[1] is text, expected numbers"),
    ({"inputs": [{**X, "data": [[1], [2]]}]}, "is nested as [2, 1], its shape says [1, 2]"),
    ({"inputs": [{k: v for k, v in X.items() if k != "data"}]}, "inputs[0] has no 'data'"),
    ({"inputs": [X], "id": 3}, "'id' is a number, expected text"),
    ({"inputs": [X], "parameters": 3}, "parameters is a number, expected an object"),
    (
        {"inputs": [X], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]},
        "binary_data is a number",
    ),
    (
        {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": -1}}]},
        "classification is -1",
    ),
    ({"inputs": [{**X, "parameters": {"binary_data_size": 8}}]}, "binary_data_size is 8, 0 bytes are left"),
    ({"inputs": [{**X, "data": [0, LOOP * 1e300]}]}, "which is no FP32"),
]


@asynchronous
async def test_json_that_is_wrong_is_refused_with_its_place(tmp_path: Path) -> None:
    async with replica(tmp_path, tmp_path, module=MODULE) as served:
        for document, words in BAD:
            response = await served.ask("POST", INFER, json.dumps(document).encode())
            error = json.loads(response.body)["error"]
            assert (response.status, words in error) == (400, True), (document, error)
        body = json.dumps({"inputs": [X]}).encode()
        for length in ("x", "-1", str(len(body) + 1), "3"):
            response = await served.ask("POST", INFER, body, inference_header_content_length=length)
            assert response.status == 400, length
        response = await served.ask(
            "POST", INFER, body + b"1234", inference_header_content_length=str(len(body))
        )
        assert "4 bytes behind the JSON belong to no input" in response.body.decode()
