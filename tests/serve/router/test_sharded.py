"""Large requests through a real router to shards that answer, fail and go."""

from __future__ import annotations

import asyncio
import json
import re
import resource
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..harness import asynchronous, until  # noqa: TID252
from ..models import b64, encode  # noqa: TID252
from .standin import Asked, Hangup, RouterProcess, Told, router, source

pytestmark = pytest.mark.slow

ONE = ("s.m",)


def doubling(asked: Asked) -> Told:
    """Predicts twice the number that an instance is."""
    if asked.path.endswith("/metadata"):
        return Told(200, {"inputs": [{"shape": [-1, 2, 3, 1]}], "labels": ["x", "y"]})
    return Told(200, {"predictions": [[2 * one] for one in asked.json["instances"]]})


def numbers(count: int) -> dict[str, Any]:
    return {"instances": list(range(count))}


def predictions(body: bytes) -> Any:
    return json.loads(body)["predictions"]


def sent(process: RouterProcess) -> list[Asked]:
    return [one for one in process.members.asked if one.method == "POST"]


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


CLEANING = """
calls = []

def odd(predictions):
    kept = [row for row in predictions if row[0] % 4]
    return kept or None

def raises(predictions):
    return predictions[100]

def nonsense(predictions):
    return 7

def image(answer):
    assert set(answer) == {"tiles", "predictions"}
    return {"most": max(row[0] for row in answer["predictions"]), "tiles": answer["tiles"]}
"""


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


def sums(asked: Asked) -> Told:
    if asked.method == "GET":
        return Told(200, {"inputs": [{"shape": [-1, 2, 3, 1]}]})
    return Told(200, {"predictions": [[int(np.sum(one))] for one in asked.json["instances"]]})


@asynchronous
async def test_a_large_image_is_cut_into_tiles_row_by_row(tmp_path: Path) -> None:
    image = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    padded = np.pad(image, ((0, 1), (0, 2)), mode="edge").astype(int)
    expected = [
        [int(padded[row : row + 2, column : column + 3].sum())]
        for row in range(0, 6, 2)
        for column in range(0, 9, 3)
    ]
    body = {"instances": [b64(encode(image)), {"image_bytes": b64(encode(image[:2, :3]))}]}
    async with router(tmp_path, sums, ONE, sharding={"rows": 4, "tile": (2, 3)}) as served:
        first, second = predictions((await served.predict(body)).body)
        assert first == {"tiles": [3, 3], "predictions": expected}
        assert second == {"tiles": [1, 1], "predictions": [[int(image[:2, :3].sum())]]}
        assert np.shape(sent(served)[0].json["instances"]) == (4, 2, 3, 1)


@asynchronous
async def test_an_image_that_can_not_be_cut_is_named_and_a_tile_that_fails_too(tmp_path: Path) -> None:
    image = encode(np.arange(35, dtype=np.uint8).reshape(5, 7))
    async with router(tmp_path, sums, ONE, sharding={"rows": 4, "tile": (2, 3), "retries": 0}) as served:
        for wrong, words in [
            (b64(b"hello"), "instances[1]: the image starts with"),
            ([[1]], "instances[1] is not {'b64': ...}"),
            ({"b64": "?"}, "instances[1].b64 is not base64"),
        ]:
            response = await served.predict({"instances": [b64(image), wrong]})
            assert (response.status, words in response.body.decode()) == (400, True), response.body
        for told, status, words in [
            (Told(400, {"error": "instances[1] is strange"}), 400, "tile [1, 2] of instances[0] is strange"),
            (Told(500, {"error": "boom"}), 502, "tile [1, 1] to tile [2, 1] of instances[0]"),
        ]:

            def serve(asked: Asked, told: Told = told) -> Told:
                return told if np.sum(asked.json["instances"][0]) == 129 else sums(asked)

            served.members.asked.clear()
            served.members.serve = serve
            response = await served.predict({"instances": [b64(image)]})
            assert (response.status, words in response.body.decode()) == (status, True), response.body


@asynchronous
async def test_the_answer_for_an_image_is_cleaned_as_a_whole(tmp_path: Path) -> None:
    clean = source(tmp_path, CLEANING, "image")
    sharding = {"rows": 2, "tile": (2, 3), "clean": clean}
    image = b64(encode(np.arange(36, dtype=np.uint8).reshape(6, 6)))
    async with router(tmp_path, sums, ONE, sharding=sharding, sources=str(tmp_path / "sources")) as served:
        response = await served.predict({"instances": [image, image]})
        assert predictions(response.body) == [{"most": 186, "tiles": [3, 2]}] * 2


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


async def stream(
    process: RouterProcess, pieces: int, piece: bytes, end: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request of any size, never held whole by the caller either."""
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port, limit=2**26)
    begin = b'{"instances":['
    length = len(begin) + pieces * len(piece) + len(end)
    head = b"POST /v1/models/s:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length
    writer.write(head + begin)
    for _ in range(pieces):
        writer.write(piece)
        await writer.drain()
    writer.write(end)
    await writer.drain()
    return reader, writer


@asynchronous
async def test_fifty_thousand_instances_need_no_more_memory_than_the_window(tmp_path: Path) -> None:
    image = json.dumps({"b64": "A" * 2000}).encode()

    def serve(asked: Asked) -> Told:
        # Not read as JSON: there are 100 MB of it, and the test shares its core with the router.
        row = "[" + ",".join(["0.123456789"] * 10) + "]"
        rows = ",".join([row] * asked.body.count(b'"b64"'))
        return Told(200, f'{{"predictions":[{rows}]}}'.encode())

    async with router(tmp_path, serve, ONE, sharding={"rows": 64}) as served:
        await served.predict({"instances": [1]})
        before = served.peak_bytes
        reader, writer = await stream(served, 500, (image + b",") * 100, image + b"]}")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        assert head.startswith(b"HTTP/1.1 200")
        answer = json.loads(await reader.readexactly(length))
        writer.close()
        assert len(answer["predictions"]) == 50_001
        grown = served.peak_bytes - before
        # The request is 100 MB, its answer 6 MB.
        assert grown < 40 * 2**20, grown
        assert served.members.most_under_way <= 16


@asynchronous
async def test_large_requests_at_the_same_time_share_one_bound(tmp_path: Path) -> None:
    piece = (json.dumps({"b64": "A" * 20_000}) + ",").encode() * 20

    async def serve(asked: Asked) -> Told:
        return Told(200, {"predictions": [0] * asked.body.count(b'"b64"')})

    async with router(tmp_path, serve, ONE, sharding={"rows": 64}) as served:
        await served.predict({"instances": [1]})
        before = served.peak_bytes
        streams = [stream(served, 100, piece, b'{"b64": ""}]}') for _ in range(8)]
        for reader, writer in await asyncio.gather(*streams):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()
        # The requests are 320 MB together; the window is 64 MiB, what they may hold back as much.
        assert served.peak_bytes - before < 200 * 2**20


@asynchronous
async def test_a_fault_is_answered_while_the_caller_is_still_sending(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        return Told(400, {"error": "instances[0] is wrong"})

    async with router(tmp_path, serve, ONE, sharding={"rows": 4}) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST /v1/models/s:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 900000000\r\n\r\n")
        writer.write(b'{"instances":[' + (json.dumps("A" * 10**6).encode() + b",") * 14)
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"instances[0] is wrong" in answer
        writer.close()


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


@asynchronous
async def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Told:
        return Told(200, {"predictions": ["A" * 10**6] * len(asked.json["instances"])})

    async with router(tmp_path, serve, ONE, sharding={"rows": 1}) as served:
        unlimited = resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
        response = await served.predict(numbers(12))
        assert response.status == 507
        assert "the answer does not fit on the disk" in response.body.decode()
        resource.prlimit(served.pid, resource.RLIMIT_FSIZE, unlimited)
        response = await served.predict(numbers(12))
        assert (response.status, len(predictions(response.body))) == (200, 12)


@asynchronous
async def test_a_member_that_hangs_fails_its_part_in_time(tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def serve(asked: Asked) -> Told:
        if asked.json["instances"][0] == 6:
            await waits.wait()
        return doubling(asked)

    options: dict[str, Any] = {"sharding": {"rows": 2, "retries": 1}, "ensemble": {"member_seconds": 0.2}}
    async with router(tmp_path, serve, ONE, **options) as served:
        response = await served.predict(numbers(20))
        waits.set()
        assert response.status == 503
        error = json.loads(response.body)["error"]
        assert "instances[6] to instances[7]" in error
        assert "no answer within 0.2 s" in error


@asynchronous
async def test_a_caller_that_leaves_in_mid_upload_frees_everything(tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def serve(asked: Asked) -> Told:
        await waits.wait()
        return doubling(asked)

    async with router(tmp_path, serve, ONE, sharding={"rows": 10}) as served:
        for _ in range(80):  # More than are taken at once: each must give its place back.
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"POST /v1/models/s:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 90000000\r\n\r\n")
            writer.write(b'{"instances":[' + b"1," * 1000)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        waits.set()

        async def answered() -> int:
            return (await served.predict(numbers(100))).status

        deadline = asyncio.get_running_loop().time() + 10
        while (status := await answered()) != 200:
            assert status == 503
            assert asyncio.get_running_loop().time() < deadline


@asynchronous
async def test_callers_that_leave_give_back_their_shares_of_the_window(tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def serve(asked: Asked) -> Told:
        await waits.wait()
        return doubling(asked)

    async with router(tmp_path, serve, ONE, sharding={"rows": 1}) as served:
        big = json.dumps({"b64": "A" * 800_000}).encode() + b","
        for number in range(1, 8):  # Six would fill the window for good.
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(
                b"POST /v1/models/s:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 900000000\r\n\r\n"
            )
            writer.write(b'{"instances":[' + big * 14)
            expected = 10 * number
            await until(lambda: served.members.under_way >= expected, "the sub-requests")  # noqa: B023
            writer.close()
        served.members.serve = doubling
        response = await served.predict(numbers(100))
        assert response.status == 200
        waits.set()


@asynchronous
async def test_a_small_request_is_not_kept_behind_a_large_one(tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def serve(asked: Asked) -> Told:
        if asked.json["instances"][0] >= 0:
            await waits.wait()
        return Told(200, {"predictions": [[1]] * len(asked.json["instances"])})

    async with router(tmp_path, serve, ONE, sharding={"rows": 1}) as served:
        large = [asyncio.create_task(served.predict(numbers(200))) for _ in range(3)]
        await until(lambda: served.members.under_way == 48, "the large requests to fill their shares")
        small = await served.predict({"instances": [-1, -2, -3]})
        assert small.status == 200
        waits.set()
        assert [response.status for response in await asyncio.gather(*large)] == [200] * 3
