"""A real router before members that answer, refuse, hang and lie."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argosy.runtime.protocol import Ended
from argosy.serve.http.client import RequestFailed

from ..harness import asynchronous, until  # noqa: TID252
from .standin import Asked, Hangup, Told, failure, router, source

pytestmark = pytest.mark.slow

ROWS = {"s.a": [[0.1, 0.9], [0.6, 0.4]], "s.b": [[0.8, 0.2], [0.7, 0.3]], "s.c": [[0.4, 0.6], [0.1, 0.9]]}
TWO = {"instances": [1, 2]}


def predicting(asked: Asked) -> Told:
    if asked.path.endswith("/metadata"):
        return Told(200, {"labels": ["no", "yes"], "inputs": []})
    if asked.path.endswith("/infer"):
        data = [value for row in ROWS[asked.member] for value in row]
        output = {"name": "p", "datatype": "FP32", "shape": [2, 2], "data": data}
        return Told(200, {"model_name": asked.member, "outputs": [output]})
    key = "outputs" if b'"inputs"' in asked.body else "predictions"
    return Told(200, {key: ROWS[asked.member]})


def rows(body: bytes, key: str = "predictions") -> Any:
    return np.array(json.loads(body)[key])


@asynchronous
async def test_members_answer_as_one_in_rows_in_columns_and_in_v2(tmp_path: Path) -> None:
    mean = np.mean([ROWS[name] for name in ROWS], axis=0)
    async with router(tmp_path, predicting) as served:
        response = await served.predict(TWO)
        np.testing.assert_allclose(rows(response.body), mean, rtol=1e-6)
        assert response.headers[b"x-argosy-members"] == b"s.a,s.b,s.c"
        assert b"x-argosy-missing" not in response.headers
        columns = await served.predict({"inputs": [1, 2]})
        np.testing.assert_allclose(rows(columns.body, "outputs"), mean, rtol=1e-6)
        inferred = json.loads(
            (await served.ask("POST", "/v2/models/s/infer", {"id": "x", "inputs": []})).body
        )
        assert (inferred["model_name"], inferred["model_version"], inferred["id"]) == ("s", "1", "x")
        assert inferred["outputs"][0]["shape"] == [2, 2]
        np.testing.assert_allclose(inferred["outputs"][0]["data"], mean.ravel(), rtol=1e-6)


@asynchronous
async def test_weights_and_votes_decide_as_they_are_asked_to(tmp_path: Path) -> None:
    for aggregate, options, expected in [
        ("weighted_mean", {"weights": (2, 1, 1)}, [[0.35, 0.65], [0.5, 0.5]]),
        ("majority_vote", {}, [[1 / 3, 2 / 3], [2 / 3, 1 / 3]]),
    ]:
        folder = tmp_path / aggregate
        folder.mkdir()
        async with router(folder, predicting, aggregate=aggregate, ensemble=options) as served:
            response = await served.predict(TWO)
            np.testing.assert_allclose(rows(response.body), expected, rtol=1e-6)


@asynchronous
async def test_labels_are_those_of_the_merged_answer(tmp_path: Path) -> None:
    async with router(tmp_path, predicting) as served:
        asked = {**TWO, "parameters": {"labels": True}}
        assert json.loads((await served.predict(asked)).body)["labels"] == ["yes", "yes"]
        assert "labels" not in json.loads((await served.predict(TWO)).body)
        assert json.loads((await served.predict(TWO, "?labels=true&x=1")).body)["labels"] == ["yes", "yes"]
        sent = [one for one in served.members.asked if ":predict" in one.path]
        assert all("labels" not in one.path and b"labels" not in one.body for one in sent)
        assert sent[-1].path.endswith(":predict?x=1")


@asynchronous
async def test_a_trace_is_passed_on_to_every_member(tmp_path: Path) -> None:
    trace = {"traceparent": "00-abc-def-01", "tracestate": "k=v", "x_request_id": "42"}
    async with router(tmp_path, predicting) as served:
        await served.predict(TWO, authorization="secret", **trace)
        assert len(served.members.asked) == 3
        for asked in served.members.asked:
            assert (asked.headers["traceparent"], asked.headers["tracestate"]) == ("00-abc-def-01", "k=v")
            assert asked.headers["x-request-id"] == "42"
            assert "authorization" not in asked.headers


@asynchronous
async def test_a_member_that_hangs_is_left_out_where_a_quorum_allows_it(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def serve(asked: Asked) -> Told:
        if asked.member == "s.c":
            await gone.wait()
        if asked.member == "s.b":
            raise Hangup
        return predicting(asked)

    async with router(tmp_path, serve, ensemble={"quorum": 1, "member_seconds": 0.3}) as served:
        response = await served.predict(TWO)
        gone.set()
    assert response.status == 200
    np.testing.assert_allclose(rows(response.body), ROWS["s.a"], rtol=1e-6)
    assert response.headers[b"x-argosy-members"] == b"s.a"
    missing = response.headers[b"x-argosy-missing"].decode()
    assert "s.b; the connection was closed" in missing
    assert "s.c; no answer within 0.3 s" in missing


@asynchronous
async def test_too_few_members_are_an_error_that_names_them(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        if asked.member == "s.a":
            return predicting(asked)
        return Told(500, {"error": "the model failed: boom"})

    async with router(tmp_path, serve, ensemble={"quorum": 2}) as served:
        response = await served.predict(TWO)
        error = json.loads(response.body)["error"]
        assert response.status == 502
        assert "'s.b' of the ensemble did not answer: status 500: the model failed: boom" in error
        assert "'s.c'" in error
        assert "1 answered, at least 2 must" in error


@asynchronous
async def test_the_callers_mistake_is_told_once_and_a_full_queue_with_its_time(tmp_path: Path) -> None:
    told = Told(400, {"error": "instances[0] is no image"})
    async with router(tmp_path, lambda asked: told) as served:
        response = await served.predict(TWO)
        assert (response.status, json.loads(response.body)) == (400, told.body)
        served.members.serve = lambda asked: Told(429, {"error": "busy"}, {"retry-after": "7"})
        response = await served.predict(TWO)
        assert (response.status, response.headers[b"retry-after"]) == (429, b"7")


@asynchronous
async def test_status_readiness_and_metadata_tell_of_every_member(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        if asked.member == "s.c":
            return Told(503, {"error": "loading"})
        if asked.path.endswith("/metadata"):
            return Told(200, {"name": asked.member, "inputs": ["i"]})
        if asked.path == f"/v2/models/{asked.member}":
            return Told(200, {"name": asked.member, "platform": "onnx", "outputs": ["o"]})
        return Told(200, {"ready": True})

    async with router(tmp_path, serve, ensemble={"quorum": 2}) as served:
        status = json.loads((await served.ask("GET", "/v1/models/s")).body)
        assert [one["ready"] for one in status["members"]] == [True, True, False]
        assert status["ready"] is True
        metadata = await served.ask("GET", "/v1/models/s/versions/1/metadata")
        described = json.loads(metadata.body)
        assert (described["name"], described["inputs"], described["quorum"]) == ("s", ["i"], 2)
        assert described["missing"] == {"s.c": "status 503: loading"}
        assert metadata.headers[b"x-argosy-missing"] == b"s.c; status 503: loading"
        assert json.loads((await served.ask("GET", "/v2/models/s")).body)["outputs"] == ["o"]
        assert (await served.ask("GET", "/v2/models/s/ready")).status == 200
        served.members.serve = lambda asked: Told(503, {"error": "loading"})
        assert (await served.ask("GET", "/v2/models/s/ready")).status == 503
        wrong = await served.ask("GET", "/v1/models/s/versions/7")
        assert (wrong.status, "the version here: 1" in wrong.body.decode()) == (404, True)


FUNCTIONS = """
import time

def best(members):
    assert set(members) == {"a", "b", "c"}
    return (members["a"] + members["b"] + members["c"]).max(axis=-1, keepdims=True)

def raises(members):
    return 1 / 0

def loops(members):
    while True:
        pass

def freezes(members):
    return sum(range(10 ** 13))

def nothing(members):
    return None

def words(members):
    return ["one", "two"]

def short(members):
    return members["a"][:1]
"""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("raises", "function mine.raises failed: ZeroDivisionError: division by zero, at mine.py:9"),
        ("loops", "function mine.loops failed: it did not return within 10 s"),
        ("nothing", "it returned nothing, expected"),
        ("words", "it returned a list, expected numbers"),
        ("short", "it returned shape [1, 2], expected 2 rows"),
    ],
)
@asynchronous
async def test_a_function_that_fails_is_named_and_the_router_lives(
    tmp_path: Path, function: str, words: str
) -> None:
    options = {"function": source(tmp_path, FUNCTIONS, function)}
    sources = str(tmp_path / "sources")
    async with router(
        tmp_path, predicting, aggregate="function", ensemble=options, sources=sources
    ) as served:
        asked = asyncio.create_task(served.predict(TWO))
        await until(lambda: len(served.members.asked) == 3, "the members to be asked")
        assert (await served.ask("GET", "/readyz")).status == 200
        response = await asked
        assert response.status == 500
        assert words in json.loads(response.body)["error"]
        assert (await served.ask("GET", "/readyz")).status == 200


@asynchronous
async def test_a_function_that_freezes_the_interpreter_ends_the_process_which_is_replaced(
    tmp_path: Path,
) -> None:
    options = {"function": source(tmp_path, FUNCTIONS, "freezes")}
    sources = str(tmp_path / "sources")
    async with router(
        tmp_path, predicting, aggregate="function", ensemble=options, sources=sources
    ) as served:
        with pytest.raises(RequestFailed):
            await served.predict(TWO)
        ended = await until(
            lambda: next((one for one in served.events if isinstance(one, Ended)), None), "the router to end"
        )
        assert ended.outcome.exit_code == 1
        assert "mine.py" in (tmp_path / "router.0.log").read_text()


@asynchronous
async def test_a_users_function_sees_every_member_and_answers_what_it_likes(tmp_path: Path) -> None:
    options = {"function": source(tmp_path, FUNCTIONS, "best")}
    sources = str(tmp_path / "sources")
    async with router(
        tmp_path, predicting, aggregate="function", ensemble=options, sources=sources
    ) as served:
        response = await served.predict(TWO)
        np.testing.assert_allclose(rows(response.body), [[1.7], [1.6]], rtol=1e-6)
        inferred = json.loads((await served.ask("POST", "/v2/models/s/infer", {"inputs": []})).body)
        assert (inferred["outputs"][0]["name"], inferred["outputs"][0]["shape"]) == ("p", [2, 1])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"aggregate": "median"}, "there is no aggregate 'median'"),
        ({"sharding": {"rows": 0}}, "sharding by 0 rows"),
        ({"sharding": {"tile": (28, 0)}}, "tiles of (28, 0)"),
        ({"aggregate": "function"}, "no function is given"),
        ({"aggregate": "weighted_mean"}, "0 weights are given for 3 members"),
        ({"aggregate": "weighted_mean", "ensemble": {"weights": (0, 0, 0)}}, "one of them above 0"),
        (
            {
                "aggregate": "function",
                "ensemble": {"function": {"source": "no", "module": "m", "function": "f"}},
            },
            "there is no source snapshot 'no'",
        ),
    ],
)
@asynchronous
async def test_options_that_can_not_be_end_the_process_with_the_reason(
    tmp_path: Path, spec: dict[str, Any], words: str
) -> None:
    async with router(tmp_path, predicting, **spec) as served:
        await until(lambda: any(isinstance(one, Ended) for one in served.events), "the router to end")
        assert words in failure(served)


@asynchronous
async def test_a_compressed_body_is_refused_before_any_member_is_asked(tmp_path: Path) -> None:
    async with router(tmp_path, predicting) as served:
        response = await served.ask("POST", "/v1/models/s:predict", TWO, content_encoding="gzip")
        assert response.status == 415
        assert json.loads(response.body) == {
            "error": "the body is encoded as 'gzip', which is not read here",
            "code": "unsupported_encoding",
            "hint": "send it plain",
        }
