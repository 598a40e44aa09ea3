"""Which replica a request reaches: shares, headers, versions, members, rings, shadows."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.flow.service_options import Balancing, BalancingPolicy
from argosy.serve.gateway.topology import (
    Backend,
    Cluster,
    Endpoint,
    HeaderRule,
    PublicService,
    Shadow,
    Share,
    Topology,
)

from .harness import asynchronous, until
from .standins import Gateway, document, gateway, names

pytestmark = pytest.mark.slow


async def _two_revisions(home: Gateway) -> Topology:
    """Revision 2 has member ``a``; revision 3 has ``a`` and ``b`` and gets a tenth of the requests."""
    two, three, b, comparer = [await home.standin(name) for name in ("two", "three", "b", "comparer")]
    await home.activator()
    return Topology(
        clusters=(
            Cluster("m.r2.a", (Endpoint("a.0", two.port),)),
            Cluster("m.r3.a", (Endpoint("a.0", three.port),)),
            Cluster("m.r3.b", (Endpoint("b.0", b.port),)),
            Cluster("m.r4.comparer", (Endpoint("c.0", comparer.port),)),
        ),
        backends=(
            Backend("m", 2, "r2.m", (("m", "m.r2.a"), ("m.a", "m.r2.a")), version=2),
            Backend("m", 3, "r3.m", (("m", "m.r3.a"), ("m.a", "m.r3.a"), ("m.b", "m.r3.b")), version=7),
            Backend("m", 4, "r4.m", (("m", "m.r3.b"),), version=9),
        ),
        services=(
            PublicService(
                "m",
                (Share(2, 90), Share(3, 10)),
                (HeaderRule("X-Try", "new", 3),),
                Shadow(4, 50, "m.r4.comparer"),
            ),
        ),
    )


@asynchronous
async def test_requests_go_by_version_then_header_then_share_and_members_to_who_has_them(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as home:
        await home.start(await _two_revisions(home))
        for cluster in ("m.r2.a", "m.r3.a", "m.r3.b"):
            await home.healthy(cluster, 2)
        shares = await names(home, "/v1/models/m:predict", 300)
        assert 5 <= shares["three"] <= 75
        assert shares["two"] + shares["three"] == 300
        assert set(await names(home, "/v2/models/m.b/infer", 5)) == {"b"}
        assert set(await names(home, "/v1/models/m:predict", 20, headers={"x-try": "new"})) == {"three"}
        for path, who, revision in [
            ("/v1/models/m/versions/2:predict", "two", b"2"),
            ("/v1/models/m/versions/7:predict", "three", b"3"),
            ("/v1/models/m/versions/7/metadata", "three", b"3"),
            ("/v2/models/m/versions/9/infer", "b", b"4"),
            ("/v2/models/m.a/versions/2", "two", b"2"),
        ]:
            for _ in range(5):
                response = await home.ask("POST", path, headers={"x-try": "new"})
                assert (document(response)["name"], document(response)["path"]) == (who, path)
                assert response.headers[b"x-argosy-revision"] == revision
        unknown = await home.ask("GET", "/v1/models/m/versions/70")
        assert (unknown.status, document(unknown)["hint"]) == (404, "versions here: 2, 7, 9")
        listing = await home.ask("GET", "/v1/models")
        assert document(listing) == {"models": ["m", "m.a", "m.b"]}
        for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
            assert (await home.ask("GET", path)).status == 200
        inside = await home.inside("r4.m", "POST", "/v1/models/m:predict")
        assert (document(inside)["name"], inside.headers[b"x-argosy-revision"]) == ("b", b"4")


@asynchronous
async def test_a_shadow_gets_its_share_of_the_predictions_and_nothing_else(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await home.start(await _two_revisions(home))
        await home.healthy("m.r4.comparer", 2)
        comparer = home.standins[3]
        await names(home, "/v1/models/m:predict", 100, body=b"abc")
        await until(lambda: len(comparer.asked) > 20, "copies")
        for _ in range(100):
            await home.ask("GET", "/v1/models/m")
            await home.ask("POST", "/v1/models/m.b:predict")
            await home.ask("POST", "/v1/models/m/versions/2:predict")
        assert len(comparer.asked) < 80
        for method, path, headers in comparer.asked:
            assert (method, path, headers["content-length"]) == ("POST", "/v1/models/m:predict", "3")
            assert headers["x-argosy-cluster"] == "m.r4.comparer"


@asynchronous
async def test_a_ring_keeps_keys_on_their_replicas_when_one_is_added_or_replaced(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        old = [await home.standin(f"s{number}") for number in range(4)]
        by_user = Balancing(BalancingPolicy.RING_HASH, "X-User")

        def topology(*standins: int, replaced: int = 0) -> Topology:
            ports = [replaced if replaced and number == 0 else old[number].port for number in standins]
            shards = tuple(
                Endpoint(f"a.{number}", port) for number, port in zip(standins, ports, strict=True)
            )
            return Topology(
                (Cluster("m.r1", shards, by_user), Cluster("s.r1", shards[:1]), Cluster("s.r1.a", shards)),
                (
                    Backend("m", 1, "r1.m", (("m", "m.r1"),), 1),
                    Backend("s", 1, "r1.s", (("s", "s.r1"), ("s.a", "s.r1.a")), 1, True, 2**40),
                ),
                (PublicService("m", (Share(1, 100),)), PublicService("s", (Share(1, 100),))),
            )

        async def placed() -> dict[str, tuple[str, str]]:
            places = {}
            for key in map(str, range(60)):
                public = await home.ask("POST", "/v1/models/m:predict", headers={"x-user": key})
                shard = await home.inside(
                    "r1.s", "POST", "/v1/models/s.a:predict", headers={"x-argosy-shard-key": key}
                )
                places[key] = (document(public)["name"], document(shard)["name"])
            return places

        await home.start(topology(0, 1, 2))
        await home.healthy("s.r1.a", 3)
        await home.healthy("m.r1", 3)
        before = await placed()
        assert before == await placed()
        assert {one for one, _ in before.values()} == {"s0", "s1", "s2"}
        home.files.write(topology(0, 1, 2, 3))
        await home.healthy("s.r1.a", 4)
        await home.healthy("m.r1", 4)
        grown = await placed()
        moved = {key for key in before if grown[key] != before[key]}
        assert 0 < len(moved) < 35
        assert all("s3" in grown[key] for key in moved)
        again = await home.standin("s0")
        home.files.write(topology(0, 1, 2, replaced=again.port))
        await home.healthy("s.r1.a", 3)
        await home.healthy("m.r1", 3)
        assert await placed() == before


@asynchronous
async def test_without_a_healthy_replica_the_activator_gets_the_requests_and_not_before(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as home:
        one, two = await home.standin("one"), await home.standin("two")
        await home.activator()
        topology = await _idle(one.port, two.port)
        await home.start(topology)
        await home.healthy("m.r1.a", 3)
        assert set(await names(home, "/v1/models/m:predict", 20)) == {"one", "two"}
        one.healthy = False
        await home.healthy("m.r1.a", 2)
        assert set(await names(home, "/v1/models/m:predict", 40)) == {"two"}
        two.healthy = False
        await home.healthy("m.r1.a", 1)
        woken = await home.ask("POST", "/v1/models/m:predict", b"abc")
        assert document(woken)["name"] == "activator"
        assert document(woken)["headers"]["x-argosy-cluster"] == "m.r1.a"
        two.healthy = True
        await home.healthy("m.r1.a", 2)
        assert set(await names(home, "/v1/models/m:predict", 5)) == {"two"}
        home.files.write(await _idle())
        await home.healthy("m.r1.a", 1)
        inside = await home.inside("r1.m", "POST", "/v1/models/m:predict")
        assert document(inside)["headers"]["x-argosy-cluster"] == "m.r1.a"


@asynchronous
async def test_at_zero_without_a_control_plane_the_answer_names_no_file_of_the_home(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        activator = await home.activator()
        await home.start(await _idle())
        await home.healthy("m.r1.a", 1)
        await activator.kill()
        refused = await home.ask("POST", "/v1/models/m:predict", b"abc")
    assert refused.status == 503
    assert refused.headers[b"retry-after"] == b"1"
    assert document(refused)["code"] == "unavailable"
    assert "control plane" in document(refused)["error"]
    assert str(tmp_path) not in refused.body.decode()
    assert ".sock" not in refused.body.decode()


async def _idle(*ports: int) -> Topology:
    endpoints = tuple(Endpoint(f"a.{port}", port) for port in ports)
    return Topology(
        (Cluster("m.r1.a", endpoints),),
        (Backend("m", 1, "r1.m", (("m", "m.r1.a"),), 1),),
        (PublicService("m", (Share(1, 100),)),),
    )


@asynchronous
async def test_a_replica_that_dies_costs_no_request_and_the_next_one_learns_of_the_attempt(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as home:
        one, two = await home.standin("one"), await home.standin("two")
        await home.start(await _idle(one.port, two.port))
        await home.healthy("m.r1.a", 2)
        await names(home, "/v1/models/m:predict", 10)

        async def die() -> None:
            one.before = None
            await one.kill()
            raise ConnectionError

        one.before = die
        attempts = set()
        for _ in range(60):
            response = await home.ask("POST", "/v1/models/m:predict", b"abc")
            assert response.status == 200
            attempts.add(document(response)["headers"]["x-envoy-attempt-count"])
        assert "1" in attempts
        assert attempts & {"2", "3"}
