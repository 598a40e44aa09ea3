"""Large bodies, replicas that die, and services that stream."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from argosy.flow.service_options import Access, Balancing, BalancingPolicy, TierLimit
from argosy.serve.gateway.topology import Backend, Cluster, Endpoint, PublicService, Share, Topology

from .harness import Load, asynchronous, until
from .standins import Gateway, Standin, document, gateway

pytestmark = pytest.mark.slow

PREDICT = "/v1/models/m:predict"
_LEAST = Balancing()
LIMIT = 48 * 2**20


def _topology(
    standins: list[Standin],
    *,
    streaming: bool = False,
    access: Access | None = None,
    balancing: Balancing = _LEAST,
) -> Topology:
    endpoints = tuple(Endpoint(f"router-{n}", one.port) for n, one in enumerate(standins))
    return Topology(
        (Cluster("m.r1", endpoints, balancing), Cluster("m.r1.a", endpoints, balancing)),
        (Backend("m", 1, "r1.m", (("m", "m.r1"), ("m.a", "m.r1.a")), 1, streaming, LIMIT),),
        (PublicService("m", (Share(1, 100),), access=access or Access()),),
    )


async def _start(
    home: Gateway,
    count: int,
    *,
    streaming: bool = False,
    access: Access | None = None,
    balancing: Balancing = _LEAST,
) -> list[Standin]:
    standins = [await home.standin(f"s{number}") for number in range(count)]
    await home.start(_topology(standins, streaming=streaming, access=access, balancing=balancing))
    await home.healthy("m.r1", count)
    return standins


@pytest.mark.parametrize("limited", [False, True])
@asynchronous
async def test_a_streaming_service_takes_bodies_that_others_refuse(tmp_path: Path, limited: bool) -> None:
    access = Access({"anonymous": TierLimit(concurrency=2, queue=1, requests=100)} if limited else {})
    async with gateway(tmp_path) as home:
        await _start(home, 1, streaming=True, access=access)
        for path in (PREDICT, "/v2/models/m/infer", "/v1/models/m/versions/1:predict"):
            answered = await home.ask("POST", path, bytes(LIMIT))
            assert document(answered)["size"] == LIMIT
            refused = await home.ask("POST", path, bytes(LIMIT + 1))
            assert (refused.status, document(refused)["code"]) == (413, "too_large")
            assert str(LIMIT) in document(refused)["error"]
        # A shard by itself is a model like any other.
        assert (await home.ask("POST", "/v1/models/m.a:predict", bytes(LIMIT))).status == 413
        assert (await home.ask("POST", "/v1/models/m.a:predict", bytes(30_000_000))).status == 200


@asynchronous
async def test_a_streaming_service_sees_a_body_before_its_end_and_any_other_does_not(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        for streaming in (True, False):
            standins = [await home.standin("s")]
            made = _topology(standins, streaming=streaming)
            if streaming:
                await home.start(made)
            else:
                home.files.write(made)
            await home.healthy("m.r1", 1)
            reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
            head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write(head.encode() + b"5\r\nhello\r\n")
            await writer.drain()
            if streaming:
                await until(lambda: standins[0].begun == 1, "the head of the request")  # noqa: B023
            else:
                await home.reaches("/v1/models/m")
                assert standins[0].begun == 1
            writer.write(b"0\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"\r\n")
            writer.close()


@pytest.mark.parametrize("policy", BalancingPolicy)
@pytest.mark.parametrize("limited", [False, True])
@asynchronous
async def test_a_replica_killed_under_load_costs_no_request(
    tmp_path: Path, limited: bool, policy: BalancingPolicy
) -> None:
    access = Access({"anonymous": TierLimit(concurrency=6, queue=10)} if limited else {})
    async with gateway(tmp_path) as home:
        # All requests have this length, so on the ring all of them lead to one replica.
        balancing = Balancing(policy, "content-length")
        standins = await _start(home, 3, access=access, balancing=balancing)
        load = Load(home.port, PREDICT, b"x" * 50_000, callers=10)

        async def kill_the_busiest() -> None:
            await max(standins, key=lambda one: len(one.asked)).kill()

        await load.during(kill_the_busiest())
        assert (load.failures, load.statuses) == ([], {200})


@asynchronous
async def test_the_last_replica_that_dies_hands_its_requests_to_the_activator(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await home.activator()
        (only,) = [await home.standin("s0")]
        await home.start(_topology([only]))
        await home.healthy("m.r1", 2)
        only.gate.clear()
        asked = asyncio.create_task(home.ask("POST", PREDICT, b"abc"))
        await until(lambda: only.waiting == 1, "the request")
        await only.kill()
        answered = document(await asked)
        assert (answered["name"], answered["size"]) == ("activator", 3)
        assert answered["headers"]["x-argosy-cluster"] == "m.r1"
        assert int(answered["headers"]["x-envoy-attempt-count"]) > 1


@asynchronous
async def test_with_neither_replicas_nor_activator_it_says_so(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await home.start(_topology([]))
        refused = await home.reaches(PREDICT, 503, "POST")
        assert refused.headers[b"retry-after"] == b"1"
        assert "no replica is ready" in document(refused)["error"]
