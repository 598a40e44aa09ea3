"""Who may ask, and how much: tokens, concurrency, requests per period, and what a refusal says."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jwt
import pytest

from argosy.flow.service_options import Access, TierLimit
from argosy.serve.access.keys import signing_key
from argosy.serve.gateway.statistics import cluster_statistics
from argosy.serve.gateway.topology import (
    Backend,
    Cluster,
    Endpoint,
    PublicService,
    RevokedToken,
    Share,
    Topology,
)
from argosy.serve.http.client import Client, Response

from .harness import asynchronous, until
from .standins import Gateway, Headers, document, gateway

pytestmark = pytest.mark.slow

PREDICT = "/v1/models/m:predict"


async def _start(
    home: Gateway, access: Access, *, revoked: tuple[RevokedToken, ...] = (), replicas: int = 2
) -> Topology:
    """Service ``m`` with that access, and ``free`` without any limit, on the same replicas."""
    ports = [(await home.standin(f"s{number}")).port for number in range(replicas)]
    made = _topology(access, ports, revoked)
    await home.start(made)
    await home.healthy("m.r1", replicas)
    return made


def _topology(
    access: Access, ports: list[int], revoked: tuple[RevokedToken, ...] = (), room: int = 0
) -> Topology:
    endpoints = tuple(Endpoint(f"a.{number}", port) for number, port in enumerate(ports))
    return Topology(
        (Cluster("m.r1", endpoints, room=room),),
        (
            Backend("m", 1, "r1.m", (("m", "m.r1"),), 1),
            Backend("free", 1, "r1.free", (("free", "m.r1"),), 1),
        ),
        (PublicService("m", (Share(1, 100),), access=access), PublicService("free", (Share(1, 100),))),
        revoked,
    )


def _token(home: Gateway, user: str = "ada", **claims: Any) -> Headers:
    body = {"iss": "argosy", "sub": user, "jti": f"id-{user}", "iat": time.time(), "exp": time.time() + 60}
    key = signing_key(Path(home.files.paths.jwks))
    return {"authorization": "Bearer " + jwt.encode({**body, **claims}, key, algorithm="HS256")}


@asynchronous
async def test_a_good_token_says_who_asks_and_a_bad_one_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await _start(home, Access())
        forged = {
            "x-argosy-user": "root",
            "x-argosy-group": "root",
            "x-argosy-tier": "gold",
            "x-argosy-token": "1",
            "x-argosy-cluster": "other",
            "x-argosy-shard-key": "1",
            "x-argosy-queue": "~m~gold~queue",
            "x-envoy-upstream-rq-timeout-ms": "1",
            "x-envoy-retry-on": "5xx",
        }
        anonymous = document(await home.ask("POST", PREDICT, headers=forged))["headers"]
        assert {name for name in anonymous if name in forged} == {"x-argosy-cluster"}
        assert anonymous["x-argosy-cluster"] == "m.r1"
        token = _token(home, group="staff", tier="gold")
        known = document(await home.ask("POST", PREDICT, headers={**forged, **token}))["headers"]
        seen = {name: known.get(f"x-argosy-{name}") for name in ("user", "group", "tier", "token")}
        assert seen == {"user": "ada", "group": "staff", "tier": "gold", "token": "id-ada"}
        assert "authorization" not in known
        basic = document(await home.ask("POST", PREDICT, headers={"authorization": "Basic abc"}))
        assert "authorization" not in basic["headers"]
        good = token["authorization"]
        wrong_key = "Bearer " + jwt.encode({"iss": "argosy", "sub": "x"}, "k" * 32, algorithm="HS256")
        unsigned = "Bearer " + jwt.encode({"iss": "argosy", "sub": "x"}, None, algorithm="none")
        for authorization, word in [
            (_token(home, exp=time.time() - 10)["authorization"], "expired"),
            (_token(home, iss="else")["authorization"], "issuer"),
            (wrong_key, "verification fails"),
            (unsigned, "Jwt"),
            (good[:-4], "Jwt"),
            ("Bearer nonsense", "Jwt is not in the form"),
            ("bearer nonsense", "Jwt is not in the form"),
        ]:
            refused = await home.ask("POST", PREDICT, headers={"authorization": authorization})
            body = document(refused)
            assert (refused.status, body["code"]) == (401, "unauthorized"), body
            assert word.lower() in body["error"].lower(), body
            assert "argosy token create" in body["hint"]


@asynchronous
async def test_a_revoked_token_is_refused_by_name_and_others_go_on(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await _start(home, Access())
        ada, bob = _token(home, "ada"), _token(home, "bob")
        assert (await home.ask("POST", PREDICT, headers=ada)).status == 200
        ports = [one.port for one in home.standins]
        home.files.write(_topology(Access(), ports, (RevokedToken("id-ada", "ada"),)))
        refused = await home.reaches(PREDICT, 401, "POST", headers=ada)
        assert document(refused)["error"] == "token id-ada of user ada is revoked"
        for path in ("/v1/models", "/v1/models/free", "/v2/models/m/infer"):
            assert (await home.ask("GET", path, headers=ada)).status == 401
        assert (await home.ask("POST", PREDICT, headers=bob)).status == 200
        assert (await home.ask("POST", PREDICT)).status == 200


@asynchronous
async def test_a_service_may_ask_for_a_token_and_its_health_is_open_to_all(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await _start(home, Access(require_token=True))
        for method, path in [
            ("POST", PREDICT),
            ("POST", "/v2/models/m/infer"),
            ("GET", "/v1/models/m/metadata"),
        ]:
            refused = await home.ask(method, path)
            assert (refused.status, refused.headers[b"x-argosy-refused"]) == (401, b"token")
            assert document(refused)["error"] == "service 'm' is only for callers with a token"
            assert (await home.ask(method, path, headers=_token(home))).status == 200
        for path in ("/v1/models/m", "/v2/models/m/ready"):
            assert (await home.ask("GET", path)).status == 200
        assert (await home.ask("POST", "/v1/models/free:predict")).status == 200


async def _burst(home: Gateway, count: int, headers: Headers) -> list[asyncio.Task[Response]]:
    return [asyncio.create_task(home.ask("POST", PREDICT, b"abc", headers)) for _ in range(count)]


def _finished(tasks: list[asyncio.Task[Response]]) -> int:
    return sum(task.done() for task in tasks)


@asynchronous
async def test_concurrency_is_exact_from_the_first_burst_and_frees_the_place_of_who_leaves(
    tmp_path: Path,
) -> None:
    limits = {
        "anonymous": TierLimit(concurrency=2),
        "signed-in": TierLimit(concurrency=3, queue=4),
        "gold": TierLimit(),
    }
    async with gateway(tmp_path) as home:
        await _start(home, Access(limits))
        for one in home.standins:
            one.gate.clear()
        waiting = lambda: sum(one.waiting for one in home.standins)  # noqa: E731
        for headers, under_way, queued, tier in [({}, 2, 0, "anonymous"), (_token(home), 3, 4, "signed-in")]:
            at_first = waiting()
            tasks = await _burst(home, 20, headers)
            refused = 20 - under_way - queued
            await until(lambda: _finished(tasks) == refused, "refusals")  # noqa: B023
            await until(lambda: waiting() == at_first + under_way, "what is under way")  # noqa: B023
            for task in tasks:
                if task.done():
                    response = task.result()
                    body = document(response)
                    assert (response.status, response.headers[b"retry-after"]) == (429, b"1")
                    assert response.headers[b"x-argosy-refused"] == b"concurrency"
                    assert (body["limit"], body["tier"], body["retry_after"]) == ("concurrency", tier, 1)
                    assert f"{under_way} requests under way and {queued} waiting" in body["error"]
                    assert body.get("user") == ("ada" if headers else None)
            held = [task for task in tasks if not task.done()]
            for gone in held[:2]:
                gone.cancel()
            await asyncio.gather(*held[:2], return_exceptions=True)
            more = await _burst(home, 5, headers)
            await until(lambda: _finished(more) == 3, "two to take the places")  # noqa: B023
            await until(lambda: waiting() == at_first + under_way, "what is under way")  # noqa: B023
        gold = await _burst(home, 9, _token(home, tier="gold"))
        await until(lambda: waiting() == 2 + 3 + 9, "the unlimited")
        for one in home.standins:
            one.gate.set()
        for task in (*held[2:], *more, *gold):
            response = await task
            if response.status == 200:
                assert response.headers[b"x-argosy-revision"] == b"1"


@asynchronous
async def test_those_who_wait_are_answered_in_order_and_an_unlisted_tier_is_signed_in(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await _start(home, Access({"signed-in": TierLimit(concurrency=1, queue=10)}), replicas=3)
        for one in home.standins:
            one.gate.clear()
        tasks = []
        for number in range(6):
            headers = {**_token(home, tier="silver"), "x-number": str(number)}
            tasks.append(asyncio.create_task(home.ask("POST", PREDICT, b"abc", headers)))
            await until(lambda: sum(one.waiting for one in home.standins) == 1, "the first")
            await home.active("~m~signed-in", number + 1)
        for one in home.standins:
            one.gate.set()
        await asyncio.gather(*tasks)
        asked = [headers["x-number"] for one in home.standins for _, _, headers in one.asked]
        order = home.arrivals("x-number")
        assert sorted(asked) == order == [str(number) for number in range(6)]
        anonymous = await asyncio.gather(*[home.ask("POST", PREDICT) for _ in range(30)])
        assert {one.status for one in anonymous} == {200}


@asynchronous
async def test_requests_in_a_period_are_counted_for_each_caller_and_the_time_to_come_back_is_true(
    tmp_path: Path,
) -> None:
    limits = {
        "anonymous": TierLimit(requests=1, period_seconds=3600),
        "signed-in": TierLimit(requests=5, period_seconds=1.5, concurrency=1),
        "gold": TierLimit(requests=400, period_seconds=2),
    }
    async with gateway(tmp_path) as home:
        made = await _start(home, Access(limits))
        assert (await home.ask("POST", PREDICT)).status == 200
        for _ in range(3):
            refused = await home.ask("POST", PREDICT)
            body = document(refused)
            assert (refused.status, body["limit"], body["tier"]) == (429, "requests", "anonymous")
            assert 3590 <= int(refused.headers[b"retry-after"]) == body["retry_after"] <= 3600
            assert "made 1 request to service 'm' in the last 3600 s" in body["error"]
            assert refused.headers[b"x-argosy-refused"] == b"requests"
        assert (await home.ask("GET", "/v1/models/m")).status == 200
        # A change of the routes forgets nothing.
        home.files.write(_topology(Access({**limits, "new": TierLimit()}), _ports(made)))
        ada, bob = _token(home, "ada"), _token(home, "bob")
        for caller in (ada, bob):
            statuses = [(await home.ask("POST", PREDICT, headers=caller)).status for _ in range(8)]
            assert statuses == [200] * 5 + [429] * 3
        assert (await home.ask("POST", PREDICT)).status == 429
        refused = await home.ask("POST", PREDICT, headers=ada)
        assert document(refused)["user"] == "ada"
        await asyncio.sleep(int(refused.headers[b"retry-after"]))
        assert (await home.ask("POST", PREDICT, headers=ada)).status == 200


def _ports(made: Topology) -> list[int]:
    return [one.port for one in made.clusters[0].endpoints]


@asynchronous
async def test_no_period_has_more_than_its_requests_however_many_are_made(tmp_path: Path) -> None:
    limit, periods = 300, 3
    async with gateway(tmp_path) as home:
        await _start(home, Access({"signed-in": TierLimit(requests=limit, period_seconds=1)}))
        extra = tuple((name.encode(), value.encode()) for name, value in _token(home).items())
        accepted: list[float] = []
        refused: Counter[int] = Counter()
        loop = asyncio.get_running_loop()

        async def call() -> None:
            client = Client(home.port)
            while len(accepted) <= limit * periods:
                response = await client.request("POST", PREDICT, b"", timeout_seconds=5, headers=extra)
                if response.status == 200:
                    accepted.append(loop.time())
                else:
                    refused[response.status] += 1
            client.close()

        await asyncio.gather(*[call() for _ in range(8)])
        assert set(refused) == {429}
        for first, after in zip(accepted, accepted[limit:], strict=False):
            # The gateway saw both a little before their answers came.
            assert after - first > 0.9


@asynchronous
async def test_a_refusal_keeps_the_connection_and_does_not_wait_for_a_long_body(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await _start(home, Access({"anonymous": TierLimit(requests=1, period_seconds=3600)}))
        reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
        for status in (b"200", b"429", b"429"):
            writer.write(f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split()[1] == status
            length = int(head.partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(length)
        writer.write(f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n")).split()[1] == b"429"
        writer.close()
        # Whoever is signed in has no limit here: their tier is not listed.
        known = [(await home.ask("POST", PREDICT, headers=_token(home))).status for _ in range(5)]
        assert known == [200] * 5


@asynchronous
async def test_a_tier_that_may_nothing_is_refused_everything(tmp_path: Path) -> None:
    limits = {"anonymous": TierLimit(requests=0), "signed-in": TierLimit(concurrency=0, queue=3)}
    async with gateway(tmp_path) as home:
        await _start(home, Access(limits))
        for headers, limit in [({}, "requests"), (_token(home), "concurrency")]:
            for forged in ({}, {"x-argosy-queue": "~m~signed-in"}, {"x-argosy-tier": "gold"}):
                refused = await home.ask("POST", PREDICT, headers={**headers, **forged})
                assert (refused.status, document(refused)["limit"]) == (429, limit)


@asynchronous
async def test_a_request_that_another_limit_refused_is_not_counted(tmp_path: Path) -> None:
    limits = {"anonymous": TierLimit(concurrency=1, requests=3, period_seconds=3600)}
    async with gateway(tmp_path) as home:
        await _start(home, Access(limits), replicas=1)
        home.standins[0].gate.clear()
        first = asyncio.create_task(home.ask("POST", PREDICT))
        await until(lambda: home.standins[0].waiting == 1, "the first")
        for _ in range(10):
            refused = await home.ask("POST", PREDICT)
            assert document(refused)["limit"] == "concurrency"
        home.standins[0].gate.set()
        await first
        statuses = [(await home.ask("POST", PREDICT)).status for _ in range(4)]
        assert statuses == [200, 200, 429, 429]


@asynchronous
async def test_a_request_that_the_replicas_had_no_room_for_is_not_counted(tmp_path: Path) -> None:
    limits = {"anonymous": TierLimit(requests=2, period_seconds=3600)}
    async with gateway(tmp_path) as home:
        await _start(home, Access(limits), replicas=1)
        home.files.write(_topology(Access(limits), [home.standins[0].port], room=1))
        await _bound(home, "m.r1", 1)
        home.standins[0].gate.clear()
        first = asyncio.create_task(home.ask("POST", PREDICT))
        await until(lambda: home.standins[0].waiting == 1, "the first")
        for _ in range(5):
            assert document(await home.ask("POST", PREDICT))["limit"] == "queue"
        home.standins[0].gate.set()
        await first
        statuses = [(await home.ask("POST", PREDICT)).status for _ in range(3)]
        assert statuses == [200, 429, 429]


@asynchronous
async def test_nothing_but_models_is_reachable_from_outside(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await _start(home, Access({"anonymous": TierLimit(concurrency=1)}, require_token=False))
        await home.activator()
        for path in (home.files.paths.admin_socket, home.files.paths.internal_socket, home.files.paths.jwks):
            assert Path(path).stat().st_mode & 0o077 == 0
        for host in ("r1.m", "admitted", "queue", "waking", "localhost", "internal"):
            listing = await home.ask("GET", "/v1/models", host=host)
            assert document(listing) == {"models": ["free", "m"]}
            for path in (
                "/stats",
                "/readyz",
                "/config_dump",
                "/logging",
                "//stats",
                "/v1/models/../../stats",
            ):
                assert (await home.ask("POST", path, host=host)).status in (400, 404)
        for name in ("x-argosy-queue", "x-argosy-wake", "x-argosy-cluster"):
            response = await home.ask("POST", "/v1/models/free:predict", headers={name: "~activator"})
            assert document(response)["name"] == "s0" or document(response)["name"] == "s1"
            assert name == "x-argosy-cluster" or name not in document(response)["headers"]


@asynchronous
async def test_what_the_replicas_have_no_room_for_is_refused_before_them_and_the_room_grows_with_them(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as home:
        limits = {"signed-in": TierLimit(concurrency=50)}
        await _start(home, Access(limits))
        ports = [one.port for one in home.standins]
        for one in home.standins:
            one.gate.clear()
        held: list[asyncio.Task[Response]] = []
        for room in (3, 5):
            home.files.write(_topology(Access(limits), ports, room=room))
            await _bound(home, "m.r1", room)
            while len(held) < room:
                held.append(asyncio.create_task(home.ask("POST", PREDICT)))
            await home.active("m.r1", room)
            for headers in ({}, _token(home)):
                refused = await home.ask("POST", PREDICT, headers=headers)
                body = document(refused)
                assert (refused.status, body["code"], body["limit"]) == (429, "overloaded", "queue"), body
                assert refused.headers[b"x-argosy-refused"] == b"queue"
                assert refused.headers[b"retry-after"] == b"1"
                assert PREDICT in body["error"]
        assert sum(len(one.asked) for one in home.standins) == 5
        counted = (await cluster_statistics(home.files.paths.admin_socket))["m.r1"]
        assert (counted.active, counted.refused) == (5, 4)
        for one in home.standins:
            one.gate.set()
        assert [response.status for response in await asyncio.gather(*held)] == [200] * 5


async def _bound(home: Gateway, cluster: str, room: int) -> None:
    """Until Envoy lets in so many requests."""
    deadline = asyncio.get_running_loop().time() + 20
    while True:
        found = (await home.admin("GET", "/clusters")).body.decode()
        if f"{cluster}::default_priority::max_requests::{room}\n" in found:
            return
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.01)
