"""Large requests through a real router to shards that answer, fail and go."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ..harness import asynchronous, until  # noqa: TID252
from .shards import CLEANING, ONE, doubling, numbers, predictions, sent
from .standin import Asked, Hangup, Told, router, source

pytestmark = pytest.mark.slow


@asynchronous
async def test_a_request_is_split_by_rows_and_merged_in_order(tmp_path: Path) -> None:
    async def serve(asked: Asked) -> Told:
        # The first sub-requests are answered last.
        if asked.json["instances"][0] < 40:
            await until(lambda: len(served.members.asked) >= 10, "the others")
        return doubling(asked)

    async with router(tmp_path, serve, ONE, sharding={"rows": 10}) as served:
        response = await served.predict({**numbers(95), "signature_name": "other"}, "?labels=1")
        assert predictions(response.body) == [[2 * one] for one in range(95)]
        assert response.headers[b"x-argosy-members"] == b"s.m"
        assert sorted(len(one.json["instances"]) for one in sent(served)) == [5] + [10] * 9
        assert {one.json["signature_name"] for one in sent(served)} == {"other"}
        assert all(one.path == "/v1/models/s.m:predict?labels=1" for one in sent(served))
        keys = {one.headers["x-argosy-shard-key"] for one in sent(served)}
        assert len(keys) == 10
        await served.predict({**numbers(95), "signature_name": "other"})
        assert {one.headers["x-argosy-shard-key"] for one in sent(served)} == keys


@asynchronous
async def test_labels_of_shards_are_merged_beside_the_predictions(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        count = len(asked.json["instances"])
        assert asked.json["parameters"] == {"labels": True}
        return Told(
            200, {"predictions": [[1]] * count, "labels": [str(one) for one in asked.json["instances"]]}
        )

    async with router(tmp_path, serve, ONE, sharding={"rows": 2}) as served:
        response = await served.predict({**numbers(5), "parameters": {"labels": True}})
        assert json.loads(response.body)["labels"] == ["0", "1", "2", "3", "4"]


@asynchronous
async def test_each_part_of_an_ensemble_of_shards_is_aggregated(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told(200, {"labels": ["even", "odd"]})
        shift = {"s.a": 0, "s.b": 1}[asked.member]
        return Told(200, {"predictions": [[one + shift, 3] for one in asked.json["instances"]]})

    async with router(tmp_path, serve, ("s.a", "s.b"), sharding={"rows": 2}) as served:
        response = await served.predict({"parameters": {"labels": True}, **numbers(5)})
        answer = json.loads(response.body)
        assert answer["predictions"] == [[one + 0.5, 3] for one in range(5)]
        assert answer["labels"] == ["odd", "odd", "odd", "even", "even"]
        assert response.headers[b"x-argosy-members"] == b"s.a,s.b"
        assert Counter(one.member for one in sent(served)) == {"s.a": 3, "s.b": 3}


@asynchronous
async def test_parts_that_fail_are_sent_again_until_they_are_answered(tmp_path: Path) -> None:
    tried: Counter[bytes] = Counter()

    def serve(asked: Asked) -> Told:
        tried[asked.body] += 1
        first = asked.json["instances"][0]
        if tried[asked.body] < 3 and first == 20:
            raise Hangup
        if tried[asked.body] < 3 and first == 30:
            return Told(503, {"error": "starting"}, {"retry-after": "1"})
        if tried[asked.body] < 3 and first == 40:
            return Told(429, {"error": "full"})
        return doubling(asked)

    async with router(tmp_path, serve, ONE, sharding={"rows": 10}) as served:
        response = await served.predict(numbers(100))
        assert predictions(response.body) == [[2 * one] for one in range(100)]
        assert sorted(tried.values()) == [1] * 7 + [3] * 3
        assert (await served.predict(b"{")).status == 400
        text = (await served.ask("GET", "/metrics")).body.decode()
        named = 'model_name="s",model_version="1"'
        for line in (
            f'argosy_requests_total{{{named},status="200"}} 1.0',
            f'argosy_requests_total{{{named},status="400"}} 1.0',
            f"argosy_in_flight_requests{{{named}}} 0.0",
            f'argosy_router_sub_requests_total{{member="s.m",{named},outcome="200"}} 10.0',
            f'argosy_router_sub_requests_total{{member="s.m",{named},outcome="429"}} 2.0',
            f'argosy_router_sub_requests_total{{member="s.m",{named},outcome="503"}} 2.0',
            f'argosy_router_sub_requests_total{{member="s.m",{named},outcome="unreachable"}} 2.0',
        ):
            assert line in text, text


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        (Told(500, {"error": "boom"}), 502, "status 500: boom"),
        (Told(429, {"error": "full"}), 503, "its shard is busy, after 2 tries"),
        (None, 503, "the connection was closed before the answer"),
        (Told(200, {"predictions": [[1]]}), 502, "answered 1 predictions for 10 instances"),
        (Told(200, b"nonsense"), 502, "holds no list of predictions"),
    ],
)
@asynchronous
async def test_an_answer_that_can_not_be_whole_is_an_error_that_names_the_part(
    tmp_path: Path, told: Told | None, status: int, words: str
) -> None:
    def serve(asked: Asked) -> Told:
        if asked.json["instances"][0] != 30:
            return doubling(asked)
        if told is None:
            raise Hangup
        return told

    async with router(tmp_path, serve, ONE, sharding={"rows": 10, "retries": 1}) as served:
        response = await served.predict(numbers(100))
        error = json.loads(response.body)["error"]
        assert response.status == status
        assert "instances[30] to instances[39]" in error
        assert words in error
        served.members.serve = doubling
        assert (await served.predict(numbers(100))).status == 200


@asynchronous
async def test_a_shards_refusal_has_the_callers_positions(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        if 37 in asked.json["instances"]:
            position = asked.json["instances"].index(37)
            return Told(400, {"error": f"instances[{position}] is no image", "code": "invalid_input"})
        return doubling(asked)

    async with router(tmp_path, serve, ONE, sharding={"rows": 10}) as served:
        response = await served.predict(numbers(100))
        assert response.status == 400
        assert json.loads(response.body) == {"error": "instances[37] is no image", "code": "invalid_input"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"instances": [1, 2', "the request ends in instances[1], at byte 19"),
        (b'{"instances": [1, x]}', "malformed JSON in instances[1], at byte 18"),
        (b'{"other": [1]}', "the request has no 'instances' (it has 'other')"),
        (b'{"instances": []}', "'instances' is an empty list"),
        (b"", "the request has no body"),
    ],
)
@asynchronous
async def test_a_malformed_request_is_the_callers_mistake(tmp_path: Path, body: bytes, words: str) -> None:
    async with router(tmp_path, doubling, ONE, sharding={"rows": 1}) as served:
        response = await served.predict(body)
        assert (response.status, words in response.body.decode()) == (400, True), response.body


@asynchronous
async def test_a_request_over_the_limit_is_refused(tmp_path: Path) -> None:
    async with router(tmp_path, doubling, ONE, sharding={"rows": 10, "body_bytes": 1000}) as served:
        response = await served.predict(numbers(1000))
        assert (response.status, "at most 1000 are taken" in response.body.decode()) == (413, True)


@asynchronous
async def test_the_users_function_drops_what_means_nothing(tmp_path: Path) -> None:
    clean = source(tmp_path, CLEANING, "odd")
    options: dict[str, Any] = {"sharding": {"rows": 1, "clean": clean}, "sources": str(tmp_path / "sources")}
    async with router(tmp_path, doubling, ONE, **options) as served:
        assert predictions((await served.predict(numbers(6))).body) == [[2], [6], [10]]
        assert json.loads((await served.predict({"instances": [2, 4]})).body) == {"predictions": []}
        refused = await served.predict({"inputs": [1]})
        assert (refused.status, "cleans its answers" in refused.body.decode()) == (400, True)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("raises", "function mine.raises failed: IndexError: list index out of range, at mine.py:9"),
        ("nonsense", "it returned a int, expected a list of the predictions to keep, or None"),
    ],
)
@asynchronous
async def test_a_cleaning_function_that_fails_is_named(tmp_path: Path, function: str, words: str) -> None:
    clean = source(tmp_path, CLEANING, function)
    options: dict[str, Any] = {"sharding": {"clean": clean}, "sources": str(tmp_path / "sources")}
    async with router(tmp_path, doubling, ONE, **options) as served:
        response = await served.predict(numbers(6))
        assert (response.status, words in json.loads(response.body)["error"]) == (500, True), response.body


@asynchronous
async def test_columns_and_v2_are_split_along_the_batch(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        if "/v2/" in asked.path:
            tensor = asked.json["inputs"][0]
            output = {"name": "o", "datatype": "FP32", "shape": tensor["shape"], "data": tensor["data"]}
            return Told(200, {"model_name": "m", "outputs": [output]})
        return Told(200, {"outputs": {"o": asked.json["inputs"]["x"]}})

    async with router(tmp_path, serve, ONE, sharding={"rows": 2}) as served:
        columns = await served.predict({"inputs": {"x": [[1], [2], [3]]}})
        assert json.loads(columns.body) == {"outputs": {"o": [[1], [2], [3]]}}
        tensor = {"name": "x", "datatype": "FP32", "shape": [3, 2], "data": [1, 2, 3, 4, 5, 6]}
        inferred = await served.ask("POST", "/v2/models/s/infer", {"id": "7", "inputs": [tensor]})
        answer = json.loads(inferred.body)
        assert (answer["id"], answer["model_name"]) == ("7", "s")
        assert answer["outputs"] == [
            {"name": "o", "datatype": "FP32", "shape": [3, 2], "data": [1, 2, 3, 4, 5, 6]}
        ]
        assert len(served.members.asked) == 4
        tensor["data"] = [1]
        wrong = await served.ask("POST", "/v2/models/s/infer", {"inputs": [tensor]})
        assert (wrong.status, "needs 6" in wrong.body.decode()) == (400, True)
        binary = await served.ask("POST", "/v2/models/s/infer", b"{}", inference_header_content_length="2")
        assert (binary.status, "takes no binary" in binary.body.decode()) == (400, True)


@asynchronous
async def test_keys_after_the_instances_count_in_a_small_request_and_are_refused_in_a_large_one(
    tmp_path: Path,
) -> None:
    small = {"instances": ["a"], "signature_name": "other"}
    large = {"instances": ["A" * 10**6] * 12, "signature_name": "other"}

    def serve(asked: Asked) -> Told:
        return Told(200, {"predictions": [0] * len(asked.json["instances"])})

    async with router(tmp_path, serve, ONE, sharding={"rows": 2}) as served:
        assert (await served.predict(small)).status == 200
        assert served.members.asked[-1].json == small
        refused = await served.predict(large)
        assert refused.status == 400
        assert "'signature_name' comes after 'instances'" in refused.body.decode()
        assert (await served.predict(dict(reversed(large.items())))).status == 200
