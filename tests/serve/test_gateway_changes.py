"""Changes under load: shares, limits, replicas and rings move without a failed request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from argosy.flow.service_options import Access, Balancing, BalancingPolicy, TierLimit
from argosy.serve.gateway.topology import (
    Backend,
    Cluster,
    Endpoint,
    PublicService,
    RevokedToken,
    Share,
    Topology,
)

from .harness import Load, asynchronous
from .standins import document, gateway
from .test_gateway_limits import _token

pytestmark = pytest.mark.slow

PREDICT = "/v1/models/m:predict"


def _topology(
    ports: dict[int, list[int]],
    shares: dict[int, int],
    *,
    limit: TierLimit | None = None,
    ring: bool = False,
    revoked: int = 0,
) -> Topology:
    balancing = Balancing(BalancingPolicy.RING_HASH, "x-key") if ring else Balancing()
    return Topology(
        tuple(
            Cluster(
                f"m.r{revision}",
                tuple(Endpoint(f"a.{place}", port) for place, port in enumerate(some)),
                balancing,
            )
            for revision, some in ports.items()
        ),
        tuple(
            Backend("m", revision, f"r{revision}.m", (("m", f"m.r{revision}"),), revision)
            for revision in ports
        ),
        (
            PublicService(
                "m",
                tuple(Share(*one) for one in shares.items()),
                access=Access({"anonymous": limit} if limit else {}),
            ),
        ),
        tuple(RevokedToken(f"t{number}", "x") for number in range(revoked)),
    )


@asynchronous
async def test_a_rollback_and_every_other_change_costs_no_request(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        ports = [(await home.standin(f"s{number}")).port for number in range(4)]
        both = {1: ports[:2], 2: ports[2:]}
        await home.start(_topology(both, {1: 100}))
        await home.healthy("m.r1", 2)
        await home.healthy("m.r2", 2)
        changes = [
            _topology(both, {1: 90, 2: 10}),
            _topology(both, {2: 100}),
            _topology(both, {1: 100}),
            _topology(both, {2: 100}, limit=TierLimit(concurrency=8, queue=8)),
            _topology(both, {1: 50, 2: 50}, limit=TierLimit(concurrency=9, requests=10**9)),
            _topology({1: ports[:1], 2: ports[2:]}, {1: 50, 2: 50}),
            _topology({1: ports[:3], 2: ports[2:]}, {1: 100}, ring=True),
            _topology({1: ports, 2: ports[2:]}, {1: 100}, ring=True, revoked=500),
            _topology({2: ports[2:]}, {2: 100}),
        ]

        async def change() -> None:
            for number, topology in enumerate(changes):
                home.files.write(topology)
                wanted = {share.revision for share in topology.services[0].shares}
                seen: set[int] = set()
                while seen != wanted:
                    answer = await home.ask("POST", PREDICT)
                    assert answer.status == 200, number
                    revision = int(answer.headers[b"x-argosy-revision"])
                    seen = seen | {revision} if revision in wanted else set()

        load = Load(home.port, PREDICT, b"x" * 1000, callers=6)
        await load.during(change())
        assert (load.failures, load.statuses) == ([], {200})


@asynchronous
async def test_a_revoked_token_ends_within_a_second_under_load(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        ports = [(await home.standin("s")).port]
        await home.start(_topology({1: ports}, {1: 100}))
        await home.healthy("m.r1", 1)
        headers = _token(home, jti="t7")
        load = Load(home.port, PREDICT, b"x" * 1000, callers=6)

        async def revoke() -> None:
            assert (await home.ask("POST", PREDICT, headers=headers)).status == 200
            home.files.write(_topology({1: ports}, {1: 100}, revoked=1000))
            async with asyncio.timeout(1):
                refused = await home.reaches(PREDICT, 401, "POST", headers=headers)
            assert "token t7" in document(refused)["error"]

        await load.during(revoke())
        assert load.failures == []
