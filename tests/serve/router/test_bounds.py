"""What large requests cost at most, and what callers and shards that hang or go leave behind."""

from __future__ import annotations

import asyncio
import json
import re
import resource
from pathlib import Path
from typing import Any

import pytest

from ..harness import asynchronous, until  # noqa: TID252
from .shards import ONE, doubling, numbers, predictions, sent
from .standin import Asked, RouterProcess, Told, router

pytestmark = pytest.mark.slow


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
async def test_shards_are_asked_no_more_at_once_than_they_take(tmp_path: Path) -> None:
    async def serve(asked: Asked) -> Told:
        await asyncio.sleep(0)
        return doubling(asked)

    async with router(tmp_path, serve, ONE, sharding={"rows": 4}, parts=3) as served:
        asking = [asyncio.create_task(served.predict(numbers(200))) for _ in range(4)]
        for answer in await asyncio.gather(*asking):
            assert answer.status == 200
        assert len(sent(served)) == 4 * 50
        assert served.members.most_under_way <= 3


@pytest.mark.parametrize(("tile", "status"), [(None, b"200"), ((2, 3), b"400")])
@asynchronous
async def test_very_many_very_small_instances_need_no_more_either(
    tmp_path: Path, tile: tuple[int, int] | None, status: bytes
) -> None:
    def serve(asked: Asked) -> Told:
        if asked.method == "GET":
            return Told(200, {"inputs": [{"shape": [-1, 2, 3, 1]}]})
        count = asked.body.count(b",") + 1
        return Told(200, b'{"predictions":[' + b"0," * (count - 1) + b"0]}")

    async with router(tmp_path, serve, ONE, sharding={"rows": 4096, "tile": tile}) as served:
        await served.predict({"instances": [1]})
        before = served.peak_bytes
        reader, writer = await stream(served, 100, b"1," * 10_000, b"2]}")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status)
        writer.close()
        grown = served.peak_bytes - before
        assert grown < 40 * 2**20, grown


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
        assert re.search(rb"instances\[\d+\] is wrong", answer)
        writer.close()


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

    def zeros(asked: Asked) -> Told:
        return Told(200, {"predictions": [0] * len(asked.json["instances"])})

    async def serve(asked: Asked) -> Told:
        await waits.wait()
        return zeros(asked)

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
        served.members.serve = zeros
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
