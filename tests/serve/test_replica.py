"""A model server in a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from argosy.runtime.protocol import Cause
from argosy.serve.http.client import Client

from .harness import asynchronous
from .models import b64, encode, expected, make_model, pixels, predict_body
from .replicas import ATTEMPT, replica

pytestmark = pytest.mark.slow

NAME = "/v1/models/digits"


@asynchronous
async def test_a_replica_answers_what_the_model_says(tmp_path: Path) -> None:
    images = pixels(5)
    async with replica(make_model(tmp_path / "model", seed=3), tmp_path) as served:
        for model in ("digits", "digits.linear"):
            response = await served.ask("POST", f"/v1/models/{model}:predict", predict_body(*images))
            assert response.status == 200
            predictions = np.array(json.loads(response.body)["predictions"])
            np.testing.assert_allclose(predictions, expected(3, images), rtol=1e-4, atol=1e-7)


@asynchronous
async def test_a_replica_tells_its_state_its_metadata_and_its_health(tmp_path: Path) -> None:
    async with replica(make_model(tmp_path / "model"), tmp_path, version=7) as served:
        status = json.loads((await served.ask("GET", NAME)).body)
        assert status["name"] == "digits"
        assert status["ready"] is True
        assert status["model_version_status"][0]["version"] == "7"
        assert status["model_version_status"][0]["state"] == "AVAILABLE"
        metadata = json.loads((await served.ask("GET", f"{NAME}/metadata")).body)
        assert metadata["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 28, 28, 1]}]
        assert metadata["labels"][0] == "class 0"
        definition = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
        sizes = [one["size"] for one in definition["inputs"]["images"]["tensor_shape"]["dim"]]
        assert (definition["inputs"]["images"]["dtype"], sizes) == ("DT_FLOAT", ["-1", "28", "28", "1"])
        for path in (f"{NAME}/versions/7", f"{NAME}/versions/7/metadata"):
            assert (await served.ask("GET", path)).body == (
                await served.ask("GET", path.replace("/versions/7", ""))
            ).body
        listing = json.loads((await served.ask("GET", "/v1/models")).body)
        assert listing == {"models": ["digits", "digits.linear"]}
        for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert (await served.ask("GET", path)).status == 200


@asynchronous
async def test_what_a_replica_does_not_have_is_answered_with_what_it_has(tmp_path: Path) -> None:
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        for method, path, status, words in [
            ("POST", "/v1/models/other:predict", 404, "models here: digits, digits.linear"),
            ("GET", "/v1/models/other", 404, "'other' does not exist"),
            ("GET", f"{NAME}:predict", 405, "use POST"),
            ("POST", NAME, 405, "use GET"),
            ("POST", f"{NAME}:explain", 404, "':explain'"),
            ("GET", f"{NAME}/nothing", 404, "'/nothing'"),
            ("GET", "/somewhere", 404, "nothing answers GET /somewhere"),
            ("GET", f"{NAME}/versions/2", 404, "has no version '2'"),
            ("POST", f"{NAME}/versions/2:predict", 404, "versions here: 1"),
            ("GET", f"{NAME}/versions/1:predict", 405, "use POST"),
            ("POST", "/metrics", 405, "use GET"),
            ("POST", "/openapi.json", 405, "use GET"),
            ("DELETE", "/healthz", 405, "use GET"),
            ("TRACE", "/v2/health/ready", 405, "use GET"),
            ("POST", f"{NAME}:predict?labels=", 400, "'' in the query, expected true or false"),
            ("POST", f"{NAME}:predict?labels=maybe", 400, "'maybe' in the query, expected true or false"),
            ("GET", "/v2/models/digits/infer", 405, "use POST"),
            ("POST", "/v2/models/other/infer", 404, "'other' does not exist"),
        ]:
            response = await served.ask(method, path, b'{"instances": [1]}' if method == "POST" else b"")
            assert (response.status, words in response.body.decode()) == (status, True), response.body
            assert {"error", "code"} <= json.loads(response.body).keys()


@asynchronous
async def test_one_bad_request_in_a_batch_does_not_hurt_the_others(tmp_path: Path) -> None:
    image = pixels()[0]
    bad = json.dumps({"instances": [b64(encode(image)[:100])]}).encode()
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        bodies = [bad if n % 3 == 0 else predict_body(image) for n in range(30)]
        asked = [served.ask("POST", f"{NAME}:predict", body) for body in bodies]
        statuses = [response.status for response in await asyncio.gather(*asked)]
    assert statuses == [400 if n % 3 == 0 else 200 for n in range(30)]


@asynchronous
async def test_a_body_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(
            b"POST %s:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n" % NAME.encode()
        )
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"50000000 bytes" in answer
        writer.close()
        assert (await served.ask("POST", f"{NAME}:predict", predict_body(pixels()[0]))).status == 200


@asynchronous
async def test_a_request_larger_than_a_batch_is_answered_whole_and_in_order(tmp_path: Path) -> None:
    images = pixels(150)
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        response = await served.ask("POST", f"{NAME}:predict", predict_body(*images))
    predictions = np.array(json.loads(response.body)["predictions"])
    np.testing.assert_allclose(predictions, expected(0, images), rtol=1e-4, atol=1e-7)


@asynchronous
async def test_requests_beyond_the_queue_are_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    body = predict_body(*pixels(400))
    async with replica(
        make_model(tmp_path / "model"), tmp_path, batching={"queue_requests": 1, "max_batch_size": 1}
    ) as served:
        asked = [served.ask("POST", f"{NAME}:predict", body) for _ in range(12)]
        responses = await asyncio.gather(*asked)
    statuses = [response.status for response in responses]
    assert set(statuses) == {200, 429}
    refused = next(response for response in responses if response.status == 429)
    assert refused.headers[b"retry-after"] == b"1"
    assert refused.headers[b"x-argosy-refused"] == b"queue"
    assert json.loads(refused.body)["code"] == "overloaded"


@asynchronous
async def test_a_stopped_replica_answers_what_is_in_flight_and_exits_zero(tmp_path: Path) -> None:
    body = predict_body(*pixels(1500))
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        asked = [asyncio.create_task(served.ask("POST", f"{NAME}:predict", body)) for _ in range(3)]
        await served.in_flight(3)
        served.runner.kill(ATTEMPT, signal.SIGTERM)
        responses = await asyncio.gather(*asked)
        ended = await served.ended()
    assert [response.status for response in responses] == [200, 200, 200]
    assert (ended.outcome.cause, ended.outcome.exit_code) == (Cause.SUCCEEDED, 0)


@asynchronous
async def test_readiness_fails_while_a_stopped_replica_still_answers(tmp_path: Path) -> None:
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        assert (await served.ask("GET", "/readyz")).status == 200
        served.runner.kill(ATTEMPT, signal.SIGTERM)
        leaving = await served.ask("POST", f"{NAME}:predict", predict_body(pixels()[0]))
        while b"x-envoy-immediate-health-check-fail" not in leaving.headers:
            leaving = await served.ask("POST", f"{NAME}:predict", predict_body(pixels()[0]))
        assert leaving.status == 200
        assert leaving.headers[b"connection"] == b"close"
        assert (await served.ask("GET", "/healthz")).status == 200
        assert (await served.ask("GET", "/readyz")).status == 503
        await served.ended()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("model.onnx", b"not a model", "model.onnx"),
        ("model.onnx", None, "model.onnx"),
        ("preprocessing.json", b"{}", "not the preprocessing of images"),
        ("labels.json", b"[", "labels.json is not JSON"),
    ],
)
@asynchronous
async def test_a_model_that_can_not_be_served_ends_the_process_with_the_reason(
    tmp_path: Path, file: str, content: bytes | None, words: str
) -> None:
    directory = make_model(tmp_path / "model")
    (directory / file).unlink()
    if content is not None:
        (directory / file).write_bytes(content)
    async with replica(directory, tmp_path) as served:
        ended = await served.ended()
    assert ended.outcome.exit_code == 1
    assert words in ended.outcome.message


@asynchronous
async def test_health_is_answered_while_the_model_is_busy(tmp_path: Path) -> None:
    body = predict_body(*pixels(1500))
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        busy = asyncio.create_task(served.ask("POST", f"{NAME}:predict", body))
        await served.in_flight(1)
        health = await Client(served.port).request("GET", "/readyz", timeout_seconds=5)
        assert health.status == 200
        assert (await busy).status == 200


@asynchronous
async def test_images_are_asked_by_rows_and_by_columns_by_version_and_with_labels(tmp_path: Path) -> None:
    image = pixels()[0]
    encoded = b64(encode(image, "png"))
    rows: list[object] = [
        {"instances": [encoded]},
        {"instances": [{"images": encoded}]},
        {"instances": [{"images": image.tolist()}]},
        {"inputs": [encoded]},
        {"inputs": {"images": [encoded]}},
        {"inputs": image[None].tolist(), "signature_name": "serving_default"},
    ]
    best = int(expected(0, image[None])[0].argmax())
    async with replica(make_model(tmp_path / "model"), tmp_path, version=7) as served:
        for path in (f"{NAME}:predict", f"{NAME}/versions/7:predict", f"{NAME}:predict?labels=true"):
            for row in rows:
                response = await served.ask("POST", path, json.dumps(row).encode())
                document = json.loads(response.body)
                answer = document["outputs" if "inputs" in row else "predictions"]  # type: ignore[operator]
                np.testing.assert_allclose(answer, expected(0, image[None]), rtol=1e-3, atol=1e-6)
                assert document.get("labels") == ([f"class {best}"] if "labels" in path else None)


@asynchronous
async def test_a_large_request_of_any_protocol_is_answered_whole(tmp_path: Path) -> None:
    images = pixels(3000)
    document = {"inputs": [{"name": "images", "shape": [3000, 28, 28, 1], "datatype": "UINT8"}]}
    document["inputs"][0]["parameters"] = {"binary_data_size": images.size}
    head = json.dumps(document).encode()
    async with replica(make_model(tmp_path / "model"), tmp_path) as served:
        response = await served.ask(
            "POST",
            "/v2/models/digits/infer",
            head + images.tobytes(),
            inference_header_content_length=str(len(head)),
        )
        answer = np.reshape(json.loads(response.body)["outputs"][0]["data"], (3000, 10))
        np.testing.assert_allclose(answer, expected(0, images), rtol=1e-3, atol=1e-6)
        rows = json.dumps({"instances": images[:1000].tolist()}).encode()
        response = await served.ask("POST", f"{NAME}:predict", rows)
        answer = np.array(json.loads(response.body)["predictions"])
        np.testing.assert_allclose(answer, expected(0, images[:1000]), rtol=1e-3, atol=1e-6)
        broken = await served.ask("POST", f"{NAME}:predict", rows[:-2])
        assert (broken.status, "malformed JSON" in broken.body.decode()) == (400, True)


@asynchronous
async def test_prometheus_reads_what_a_replica_counts(tmp_path: Path) -> None:
    async with replica(make_model(tmp_path / "model"), tmp_path, version=7) as served:
        for body in (predict_body(*pixels(3)), predict_body(pixels()[0]), b"{}"):
            await served.ask("POST", f"{NAME}:predict", body)
        text = (await served.ask("GET", "/metrics")).body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    model = {"model_name": "digits", "model_version": "7"}
    outcomes = {
        one.labels["outcome"]: one.value
        for one in families["argosy_requests"].samples
        if model.items() <= one.labels.items()
    }
    assert outcomes == {"success": 2, "invalid": 1}
    values = {(one.name, one.labels.get("le")): one.value for one in families["argosy_batch_rows"].samples}
    assert values["argosy_batch_rows_sum", None] == 4
    assert (values["argosy_batch_rows_bucket", "2.0"], values["argosy_batch_rows_bucket", "+Inf"]) == (1, 2)
    assert families["argosy_request_seconds"].type == "histogram"
    assert families["argosy_in_flight_requests"].samples[0].value == 0
    assert families["process_resident_memory_bytes"].samples[0].value > 10_000_000
