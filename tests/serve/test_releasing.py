"""Requests that move between revisions under load, with real processes and a real Envoy."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from argosy.flow.service_options import Release, ReleaseMode, Scaling, ServiceOptions
from argosy.serve.gateway.topology import HeaderRule, Share
from argosy.serve.http.client import Response
from argosy.serve.lifecycle.state import Settings

from .harness import asynchronous, until
from .models import pixels, predict_body
from .stage import Stage, stage

pytestmark = pytest.mark.slow

BODY = predict_body(pixels()[0])
REVISION = b"x-argosy-revision"


async def answered_by(home: Stage, revision: bytes) -> None:
    """Until the public side answers from this revision."""
    while (await home.ask("GET", "/v1/models/digits")).headers[REVISION] != revision:
        pass


@pytest.mark.parametrize("standby", [600.0, 0.3], ids=["that stands by", "that rests"])
@asynchronous
async def test_a_rollback_under_load_to_a_revision_fails_no_request(tmp_path: Path, standby: float) -> None:
    revisions: list[bytes] = []

    def note(response: Response) -> None:
        revisions.append(response.headers[REVISION])

    async with stage(tmp_path, Settings(standby_seconds=standby)) as home:
        await home.deploy("digits", "m1", replicas=2)
        await home.deploy("digits", "m2", replicas=2, run="second")
        if standby < 1:
            await until(lambda: len(home.attempts) == 3, "the first revision to rest")
        load = home.load("digits", BODY)
        load.on_answer = note

        async def roll_back() -> float:
            started = asyncio.get_running_loop().time()
            home.manager.rollback("digits", "ann")
            await answered_by(home, b"1")
            return asyncio.get_running_loop().time() - started

        took = await load.during(roll_back())
        assert load.failures == []
        assert took < 10
        assert (revisions[0], revisions[-1]) == (b"2", b"1")
        view = home.view("digits")
        assert [(one.revision, one.percent) for one in view.revisions] == [(1, 100), (2, 0)]
        assert view.releases[-1].action == "rollback"


@asynchronous
async def test_a_canary_gets_about_its_share_and_header_rules_choose_a_revision(tmp_path: Path) -> None:
    still = Scaling(target=10_000.0)
    canary = ServiceOptions(scaling=still, release=Release(ReleaseMode.CANARY, 25))
    counts: Counter[bytes] = Counter()
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        change = await home.deploy("digits", "m2", run="second", options=canary)
        assert (change.state, change.revision) == ("ready", 2)
        await until(lambda: home.view("digits").revisions[1].percent == 25, "the canary")
        load = home.load("digits", BODY)

        async def seen() -> None:
            await answered_by(home, b"2")
            load.on_answer = lambda response: counts.update([response.headers[REVISION]])
            await until(lambda: counts.total() >= 2000, "two thousand answers")

        await load.during(seen())
        assert load.failures == []
        assert 0.20 < counts[b"2"] / counts.total() < 0.30
        rule = HeaderRule("x-tester", "yes", 2)
        home.manager.set_traffic("digits", (Share(1, 100),), (rule,), "ann")
        await until(lambda: home.view("digits").revisions[1].percent == 0, "the rule")
        in_a_row = 0
        while in_a_row < 30:
            tested = await home.ask("GET", "/v1/models/digits", x_tester="yes")
            in_a_row = in_a_row + 1 if tested.headers[REVISION] == b"2" else 0
        for _ in range(20):
            tested = await home.ask("GET", "/v1/models/digits", x_tester="yes")
            other = await home.ask("GET", "/v1/models/digits")
            assert (tested.headers[REVISION], other.headers[REVISION]) == (b"2", b"1")


@asynchronous
async def test_promoting_what_was_held_serves_it_without_a_failed_request(tmp_path: Path) -> None:
    hold = ServiceOptions(release=Release(ReleaseMode.HOLD))
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        await home.deploy("digits", "m2", run="second", options=hold)
        assert (await home.ask("GET", "/v1/models/digits")).headers[REVISION] == b"1"
        load = home.load("digits", BODY)

        async def promote() -> None:
            home.manager.promote("digits", 2, "it is better", "ann")
            await answered_by(home, b"2")

        await load.during(promote())
        assert load.failures == []
        release = home.view("digits").releases[-1]
        assert (release.action, release.traffic, release.reason, release.user) == (
            "promote",
            {"2": 100},
            "it is better",
            "ann",
        )


@asynchronous
async def test_pointers_and_releases_survive_the_control_plane(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        await home.deploy("digits", "m2", run="second")
        home.manager.set_traffic("digits", (Share(1, 50), Share(2, 50)))
        before = home.view("digits")
        await home.restart_control_plane()
        after = await home.state("digits", "ready")
        assert after.releases == before.releases
        assert [one.percent for one in after.revisions] == [50, 50]
        home.manager.rollback("digits")
        await answered_by(home, b"2")
