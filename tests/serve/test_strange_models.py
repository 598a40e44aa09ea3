"""Models that raise, crash, loop and never come back: what their callers and everybody else see."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from argosy.serve.http.client import Client, RequestFailed, Response
from argosy.serve.specs import INFERENCE_OVERDUE

from .harness import asynchronous
from .replicas import Replica, replica
from .strange_models import CRASH, LOOP, LOOP_IN_C, MODULE, NOT_A_NUMBER, RAISE, SLOW

pytestmark = pytest.mark.slow

PREDICT = "/v1/models/digits:predict"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def strange(logs: Path, **batching: Any) -> AbstractAsyncContextManager[Replica]:
    return replica(logs, logs, module=MODULE, batching=batching)


async def predict(served: Replica, *rows: Any, **headers: str) -> Response:
    return await served.ask("POST", PREDICT, json.dumps({"instances": rows}).encode(), **headers)


def first(response: Response) -> Any:
    return json.loads(response.body)["predictions"][0]


@asynccontextmanager
async def one_batch(tmp_path: Path, size: int, **batching: Any) -> AsyncIterator[Replica]:
    """A replica whose first ``size`` requests are one batch: somebody is for ever about to send another."""
    async with strange(tmp_path, max_batch_size=size, max_wait_seconds=30.0, **batching) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\nPOST /v1/")
        await reader.readuntil(b"}")
        yield served
        writer.close()


@asynchronous
async def test_a_model_that_raises_fails_the_request_at_fault_and_no_other(tmp_path: Path) -> None:
    async with one_batch(tmp_path, 8) as served:
        asked = (predict(served, [RAISE if n == 3 else n, 0], traceparent=TRACE) for n in range(8))
        responses = await asyncio.gather(*asked)
        assert [one.status for one in responses] == [500 if n == 3 else 200 for n in range(8)]
        assert [first(one)[0] for n, one in enumerate(responses) if n != 3] == [0, 2, 4, 8, 10, 12, 14]
        failed = json.loads(responses[3].body)
        assert (failed["code"], failed["error"]) == ("model_failed", "the model failed: RuntimeError: no")
        log = served.log.read_text()
    assert "a batch of 8 requests failed, so each is tried alone" in log
    assert "trace 0af7651916cd43dd8448eb211c80319c, span b7ad6b7169203331" in log


@pytest.mark.parametrize("command", [LOOP, LOOP_IN_C], ids=["in Python", "in C, holding the interpreter"])
@asynchronous
async def test_a_model_that_does_not_come_back_ends_the_process_in_a_bounded_time(
    tmp_path: Path, command: int
) -> None:
    async with strange(tmp_path, inference_seconds=0.3) as served:
        asked = asyncio.create_task(predict(served, [command, 0], traceparent=TRACE))
        ended = await served.ended()
        if command == LOOP:
            response = await asked
            assert response.status == 504
            assert json.loads(response.body)["code"] == "inference_overdue"
            assert ended.outcome.exit_code == INFERENCE_OVERDUE
            log = served.log.read_text()
            assert "longer than 0.3 s (trace 0af7651916cd43dd8448eb211c80319c" in log
            assert log.count("inference of 1 request(s)") == 1
        else:
            with pytest.raises(RequestFailed):
                await asked
            assert ended.outcome.signal == signal.SIGPROF


@asynchronous
async def test_a_batch_that_does_not_come_back_is_cut_off_for_all_who_share_it(tmp_path: Path) -> None:
    async with one_batch(tmp_path, 4, inference_seconds=0.3) as served:
        asked = (predict(served, [LOOP if n == 2 else n, 0]) for n in range(4))
        results = await asyncio.gather(*asked, return_exceptions=True)
        ended = await served.ended()
    assert ended.outcome.exit_code == INFERENCE_OVERDUE
    # Their connections broke, so that they may ask elsewhere.
    assert all(isinstance(one, RequestFailed) for one in results), results


@asynchronous
async def test_a_request_that_was_tried_elsewhere_runs_alone(tmp_path: Path) -> None:
    async with one_batch(tmp_path, 4) as served:
        asked = asyncio.gather(*(predict(served, [n, 0]) for n in range(4)))
        # The second number says how many rows the model was given.
        assert [first(one)[1] for one in await asked] == [4, 4, 4, 4]
        again = asyncio.gather(*(predict(served, [n, 0], x_envoy_attempt_count="2") for n in range(4)))
        assert [first(one)[1] for one in await again] == [1, 1, 1, 1]


@asynchronous
async def test_a_model_that_crashes_breaks_the_connection(tmp_path: Path) -> None:
    async with strange(tmp_path) as served:
        with pytest.raises(RequestFailed):
            await predict(served, [CRASH, 0])
        assert (await served.ended()).outcome.signal == signal.SIGABRT


@asynchronous
async def test_many_quick_answers_do_not_add_up_to_an_overdue_one(tmp_path: Path) -> None:
    async with strange(tmp_path, inference_seconds=0.15) as served:
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.6
        while loop.time() < end:
            assert (await predict(served, [1, 0])).status == 200
        assert (await served.ask("GET", "/readyz")).status == 200


@asynchronous
async def test_what_is_no_number_is_not_passed_off_as_null(tmp_path: Path) -> None:
    async with strange(tmp_path) as served:
        response = await predict(served, [NOT_A_NUMBER, 0])
        assert (response.status, json.loads(response.body)["code"]) == (500, "not_finite")


@asynchronous
async def test_health_and_metrics_are_answered_while_a_slow_model_is_busy(tmp_path: Path) -> None:
    async with strange(tmp_path, max_batch_size=1) as served:
        body = json.dumps({"instances": [[SLOW, 0]] * 300_000}).encode()
        busy = asyncio.create_task(served.ask("POST", PREDICT, body))
        await served.in_flight(1)
        client = Client(served.port)
        assert (await client.request("GET", "/readyz", timeout_seconds=5)).status == 200
        client.close()
        busy.cancel()
        await served.in_flight(0)
        # Nobody waits for it any more, so it is not run to its end.
        assert (await predict(served, [1, 0])).status == 200


TENSOR_REQUESTS: list[tuple[Any, Any]] = [
    ({"instances": [[1, 2]]}, {"predictions": [[2.0, 1.0]]}),
    ({"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}, {"predictions": [[2.0, 2.0], [6.0, 2.0]]}),
    ({"inputs": [[1, 2]]}, {"outputs": [[2.0, 1.0]]}),
    ({"inputs": {"x": [[1, 2]]}}, {"outputs": [[2.0, 1.0]]}),
    (
        {"instances": [[1, 2], [0, 0]], "parameters": {"labels": True}},
        {"predictions": [[2.0, 2.0], [0.0, 2.0]], "labels": ["small", "large"]},
    ),
    (
        {"signature_name": "pair", "instances": [{"a": 1, "b": "x"}, {"a": 2, "b": {"b64": "eQ=="}}]},
        {"predictions": [{"sum": 2, "text": "x1"}, {"sum": 3, "text": "y2"}]},
    ),
    (
        {"signature_name": "pair", "inputs": {"a": [1], "b": ["x"]}},
        {"outputs": {"sum": [2], "text": ["x1"]}},
    ),
    ({"signature_name": "fixed", "inputs": [[1, 2], [3, 4]]}, {"outputs": [[2.0, 2.0], [6.0, 2.0]]}),
]

BAD_TENSORS: list[tuple[Any, str]] = [
    ({"instances": [[1, 2, 3]]}, "instances has shape [1, 3], expected [-1, 2]"),
    ({"instances": [[1, 2], [3]]}, "instances is not a regular array of numbers"),
    ({"instances": [[1, "two"]]}, "instances[0][1] is text, expected numbers (FP32)"),
    ({"instances": [[1, None]]}, "instances[0][1] is null, expected numbers"),
    ({"instances": [[1, 1e300]]}, "instances[0][1] is 1e+300, which is no FP32"),
    ({"instances": [[True, False]]}, "expected numbers (FP32)"),
    ({"instances": [[]]}, "instances has shape [1, 0]"),
    ({"instances": [{"z": 1}]}, "instances[0] is an object, expected numbers"),
    ({"inputs": {"z": [[1, 2]]}}, "expected numbers"),
    ({"inputs": []}, "inputs has shape [0], expected [-1, 2]"),
    ({"instances": [[1, 2]], "signature_name": "other"}, "no signature 'other'"),
    ({"signature_name": "pair", "instances": [{"a": 1}]}, "instances[0] has no 'b'"),
    (
        {"signature_name": "pair", "instances": [{"a": 1, "b": "", "c": 1}]},
        "instances[0] has 'c', which is no input",
    ),
    (
        {"signature_name": "pair", "instances": [{"a": 1.5, "b": ""}]},
        "is 1.5, expected whole numbers (INT64)",
    ),
    ({"signature_name": "pair", "instances": [1]}, "expected an object with 'a', 'b'"),
    ({"signature_name": "pair", "inputs": {"a": [1, 2], "b": ["x"]}}, "unequal first dimensions"),
    ({"signature_name": "pair", "inputs": {"a": [1], "b": [3]}}, "inputs.b[0] is a number, expected text"),
    ({"signature_name": "pair", "inputs": {"a": [2**70], "b": [""]}}, "inputs.a"),
    ({"signature_name": "fixed", "inputs": [[1, 2]]}, "has shape [1, 2], expected [2, 2]"),
]


@asynchronous
async def test_tensors_by_rows_and_by_columns(tmp_path: Path) -> None:
    async with strange(tmp_path) as served:
        for request, answer in TENSOR_REQUESTS:
            response = await served.ask("POST", PREDICT, json.dumps(request).encode())
            assert json.loads(response.body) == answer, request
        for request, words in BAD_TENSORS:
            response = await served.ask("POST", PREDICT, json.dumps(request).encode())
            error = json.loads(response.body)
            assert (response.status, words in error["error"]) == (400, True), (request, error)
        labelled = json.dumps({"instances": [[1, 2]]}).encode()
        response = await served.ask("POST", f"{PREDICT}?labels=true", labelled)
        assert json.loads(response.body)["labels"] == ["small"]
