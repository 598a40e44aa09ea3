"""gRPC through the gateway: the model is read from the request, limits and refusals speak gRPC."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from argosy.flow.service_options import Access, TierLimit
from argosy.serve.access.audit_lines import count
from argosy.serve.gateway.topology import (
    Backend,
    Cluster,
    Endpoint,
    PublicService,
    RevokedToken,
    Share,
    Topology,
)

from .harness import asynchronous, until
from .standins import Gateway, gateway
from .test_gateway_limits import _token

pytestmark = pytest.mark.slow

SERVICE = "/inference.GRPCInferenceService/"


def message(model: str, version: str = "", data: bytes = b"", *, data_first: bool = False) -> bytes:
    """What every request of the protocol begins with: fields 1 and 2; data is field 7."""
    named = _field(1, model.encode()) + (_field(2, version.encode()) if version else b"")
    return _field(7, data) + named if data_first else named + (_field(7, data) if data else b"")


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size > 127:
        length.append(size % 128 + 128)
        size //= 128
    return bytes([number * 8 + 2, *length, size]) + content


class Replica(grpc.GenericRpcHandler):
    """Answers with its name, the method and the length of the message; waits for ``gate``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method.removeprefix(SERVICE)
        metadata = dict(handler_call_details.invocation_metadata)

        async def answer(request: bytes, context: Any) -> bytes:
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1
            if request.endswith(b"fail"):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the replica says no")
            user = metadata.get("x-argosy-user", "")
            return json.dumps([self.name, method, len(request), user]).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def replica(home: Gateway, name: str) -> AsyncIterator[tuple[Replica, Endpoint]]:
    handler = Replica(name)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    plain = await home.standin(name)
    try:
        yield handler, Endpoint(name, plain.port, port)
    finally:
        handler.gate.set()
        await server.stop(None)


def _topology(one: Endpoint | None, two: Endpoint, access: Access | None = None) -> Topology:
    return Topology(
        (Cluster("m.r1", (one,) if one else ()), Cluster("n.r1", (two,))),
        (
            Backend("m", 1, "r1.m", (("m", "m.r1"),), 1),
            Backend("n", 1, "r1.n", (("n", "n.r1"), ("n.a", "n.r1")), 4),
        ),
        (
            PublicService("m", (Share(1, 100),), access=access or Access()),
            PublicService("n", (Share(1, 100),)),
        ),
        (RevokedToken("id-eve", "eve"),),
    )


async def _call(channel: Any, method: str, body: bytes, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
    call = channel.unary_unary(SERVICE + method)
    return json.loads(await call(body, metadata=metadata, timeout=15))


async def _refused(channel: Any, method: str, body: bytes, *metadata: tuple[str, str]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _call(channel, method, body, metadata)
    return caught.value.code().name, caught.value.details() or ""


@asynchronous
async def test_a_request_goes_to_the_model_it_names_wherever_the_name_stands(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home, replica(home, "m") as (_, one), replica(home, "n") as (_, two):
        await home.start(_topology(one, two))
        await home.healthy("m.r1~grpc", 2)
        await home.healthy("n.r1~grpc", 2)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{home.port}") as channel:
            large = bytes(8_000_000)
            for method, body, who in [
                ("ModelInfer", message("m"), "m"),
                ("ModelInfer", message("n", data=large), "n"),
                ("ModelInfer", message("n", "4", data=large, data_first=True), "n"),
                ("ModelInfer", message("n.a", "4"), "n"),
                ("ModelReady", message("m", "1"), "m"),
                ("ModelMetadata", message("n"), "n"),
            ]:
                assert await _call(channel, method, body) == [who, method, len(body), ""]
            named = (("x-argosy-model", "n"),)
            assert (await _call(channel, "ModelInfer", b"", named))[0] == "n"
            for method in ("ServerLive", "ServerReady", "ServerMetadata"):
                assert (await _call(channel, method, b""))[1] == method
            woken = (("x-argosy-woken", "1"), ("x-argosy-wake", "m.r1"))
            assert (await _call(channel, "ModelInfer", message("n"), woken))[0] == "n"
            ada = (("authorization", _token(home)["authorization"]),)
            assert (await _call(channel, "ModelInfer", message("m"), ada))[3] == "ada"
            for method, body, code, words in [
                ("ModelInfer", message("other"), "NOT_FOUND", "services here: m, n"),
                ("ModelInfer", message("m", "2"), "NOT_FOUND", "model m version 2"),
                ("ModelInfer", b"\xff\xff", "INVALID_ARGUMENT", "not one of the Open Inference Protocol"),
                ("ModelInfer", message("a\r\nb: c"), "INVALID_ARGUMENT", "names no model"),
                ("ModelInfer", b"", "INVALID_ARGUMENT", "names no model"),
                ("ModelInfer", message("m", data=b"fail"), "INVALID_ARGUMENT", "the replica says no"),
                ("ModelOther", b"", "UNIMPLEMENTED", "Open Inference Protocol"),
            ]:
                got, details = await _refused(channel, method, body)
                assert got == code
                assert words in details
            eve = ("authorization", _token(home, "eve")["authorization"])
            code, details = await _refused(channel, "ModelInfer", message("m"), eve)
            assert (code, "token id-eve of user eve is revoked" in details) == ("UNAUTHENTICATED", True)
            code, _ = await _refused(channel, "ModelInfer", message("m"), ("authorization", "Bearer x"))
            assert code == "UNAUTHENTICATED"
        plain = await home.ask("POST", f"{SERVICE}ModelInfer", b"\0\0\0\0\0")
        assert plain.status == 422


@asynchronous
async def test_whatever_is_sent_gets_a_status_and_breaks_no_script(tmp_path: Path) -> None:
    generator = random.Random(5)
    good = message("m", "1", data=bytes(700), data_first=True)
    codes: set[str] = set()
    async with gateway(tmp_path) as home, replica(home, "m") as (_, one), replica(home, "n") as (_, two):
        await home.start(_topology(one, two))
        await home.healthy("m.r1~grpc", 2)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{home.port}") as channel:
            for number in range(300):
                body = bytearray(generator.randbytes(generator.randrange(40)) if number % 2 else good)
                for _ in range(number % 5 if body else 0):
                    body[generator.randrange(len(body))] = generator.randrange(256)
                try:
                    answer = await _call(channel, "ModelInfer", bytes(body[: generator.randrange(750)]))
                    assert answer[0] == "m"
                except grpc.aio.AioRpcError as error:
                    codes.add(error.code().name)
        assert codes <= {"INVALID_ARGUMENT", "NOT_FOUND"}
        assert "error" not in home.log.read_text()


@asynchronous
async def test_a_service_whose_replicas_speak_no_grpc_says_so(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home, replica(home, "n") as (_, two):
        await home.start(_topology(Endpoint("m", (await home.standin("m")).port), two))
        await home.healthy("n.r1~grpc", 2)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{home.port}") as channel:
            code, details = await _refused(channel, "ModelInfer", message("m"))
            assert (code, "does not speak gRPC" in details) == ("UNIMPLEMENTED", True)
            assert (await _call(channel, "ServerReady", b""))[0] == "n"


@asynchronous
async def test_limits_hold_for_grpc_and_are_told_in_its_words(tmp_path: Path) -> None:
    limits = {
        "anonymous": TierLimit(concurrency=1, queue=1),
        "signed-in": TierLimit(requests=2, period_seconds=3600),
    }
    async with gateway(tmp_path) as home, replica(home, "m") as (held, one), replica(home, "n") as (_, two):
        await home.start(_topology(one, two, Access(limits)))
        await home.healthy("m.r1~grpc", 2)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{home.port}") as channel:
            held.gate.clear()
            first = [asyncio.create_task(_call(channel, "ModelInfer", message("m"))) for _ in range(2)]
            await until(lambda: held.waiting == 1, "the first")
            await home.active("~m~anonymous", 2)
            code, details = await _refused(channel, "ModelInfer", message("m"))
            assert (code, json.loads(details)["limit"]) == ("RESOURCE_EXHAUSTED", "concurrency")
            plain = await home.ask("POST", "/v1/models/m:predict")
            assert plain.status == 429
            assert b"grpc-status" not in plain.headers
            held.gate.set()
            assert [answer[0] for answer in await asyncio.gather(*first)] == ["m", "m"]
            code, details = await _refused(channel, "ModelInfer", message("m", data=b"fail"))
            assert (code, details) == ("INVALID_ARGUMENT", "the replica says no")
            ada = ("authorization", _token(home)["authorization"])
            for _ in range(2):
                assert (await _call(channel, "ModelInfer", message("m"), (ada,)))[0] == "m"
                assert (await _call(channel, "ModelReady", message("m"), (ada,)))[0] == "m"
            code, details = await _refused(channel, "ModelInfer", message("m"), ada)
            told = json.loads(details)
            assert (code, told["limit"], told["user"]) == ("RESOURCE_EXHAUSTED", "requests", "ada")
        log = Path(home.files.paths.audit)
        await until(lambda: len(log.read_bytes().splitlines()) == 8, "the audit")
        counted = {(one.user, one.service, one.outcome): one.requests for one in count(log.read_bytes())}
        assert counted == {
            ("", "m", "answered"): 2,
            ("", "m", "refused: concurrency"): 2,
            ("", "m", "invalid"): 1,
            ("ada", "m", "answered"): 2,
            ("ada", "m", "refused: requests"): 1,
        }


@asynchronous
async def test_a_grpc_request_wakes_replicas_that_are_not_there(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home, replica(home, "m") as (_, one), replica(home, "n") as (_, two):
        activator = await home.activator()
        await home.start(_topology(None, two))
        await home.healthy("m.r1", 1)

        async def wake() -> None:
            home.files.write(_topology(one, two))

        activator.before = wake
        async with grpc.aio.insecure_channel(f"127.0.0.1:{home.port}") as channel:
            body = message("m", data=bytes(100_000))
            assert await _call(channel, "ModelInfer", body) == ["m", "ModelInfer", len(body), ""]
            method, path, headers = activator.asked[0]
            assert (method, path) == ("GET", "/v1/models/m")
            assert headers["x-argosy-cluster"] == "m.r1"
            await activator.kill()
            home.files.write(_topology(None, two))
            await home.healthy("m.r1", 0)
            code, details = await _refused(channel, "ModelInfer", message("m"))
            assert (code, "no replica is ready" in details) == ("UNAVAILABLE", True)
