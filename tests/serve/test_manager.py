"""Services through failures, switches and restarts, with real processes and a real Envoy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from argosy.errors import NotFound
from argosy.runtime.protocol import AttemptId
from argosy.serve.http.client import RequestFailed, Response
from argosy.serve.lifecycle.state import GATEWAY_ATTEMPT, Settings

from .harness import asynchronous, until
from .models import pixels, predict_body
from .stage import Stage, stage

pytestmark = pytest.mark.slow

BODY = predict_body(pixels()[0])


def _pids(home: Stage) -> dict[AttemptId, int | None]:
    return {
        AttemptId(replica.replica): replica.pid
        for view in home.manager.views()
        for member in view.members
        for replica in member.replicas
    }


async def _kill(home: Stage, *attempts: str) -> None:
    """Kill, and wait until the service is whole again."""
    before = dict(home.runner.alive)
    for attempt in attempts:
        home.runner.kill(AttemptId(attempt))
    await until(
        lambda: all(
            dict(home.runner.alive).get(AttemptId(one), 0) > before[AttemptId(one)] for one in attempts
        ),
        f"{attempts} to be replaced",
    )
    await home.state("digits", "ready")


@pytest.mark.parametrize("models", [("m1",), ("m1", "m2")], ids=["one model", "ensemble"])
@asynchronous
async def test_killing_a_replica_under_load_fails_no_request(tmp_path: Path, models: tuple[str, ...]) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", *models, replicas=2)
        load = home.load("digits", BODY)
        await load.during(_kill(home, "service-digits.r1.m1.0"))
        assert load.failures == []


@pytest.mark.parametrize("replicas", [2, 3])
@asynchronous
async def test_the_gateway_alone_keeps_requests_from_a_dead_replica(tmp_path: Path, replicas: int) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=replicas)
        load = home.load("digits", BODY)

        async def kill_unheard() -> None:
            home.runner.listener = lambda event: None
            home.runner.kill(AttemptId("service-digits.r1.m1.0"))
            more = load.answered + 500
            await until(lambda: load.answered >= more, "the load to go on")

        await load.during(kill_unheard())
        assert load.failures == []


@asynchronous
async def test_killing_a_router_under_load_fails_no_request(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2", replicas=2)
        load = home.load("digits", BODY)
        await load.during(_kill(home, "service-digits.r1.router-0"))
        assert load.failures == []


@asynchronous
async def test_a_killed_gateway_is_back_within_two_seconds_on_the_same_port(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=2)
        started = asyncio.get_running_loop().time()
        await _kill(home, GATEWAY_ATTEMPT)
        response = await home.ask("POST", "/v1/models/digits:predict", BODY)
        assert response.status == 200
        assert asyncio.get_running_loop().time() - started < 2
        assert home.gateway_port == home.port


@asynchronous
async def test_gateway_and_replica_killed_together_come_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=2)
        await _kill(home, GATEWAY_ATTEMPT, "service-digits.r1.m1.1")
        assert (await home.ask("POST", "/v1/models/digits:predict", BODY)).status == 200
        assert home.view("digits").members[0].replicas[1].restarts == 1


@asynchronous
async def test_switching_revisions_under_load_fails_no_request_and_never_goes_back(tmp_path: Path) -> None:
    revisions: list[bytes] = []

    def note(response: Response) -> None:
        revisions.append(response.headers[b"x-argosy-revision"])

    async with stage(tmp_path, Settings(standby_seconds=0.5)) as home:
        await home.deploy("digits", "m1", replicas=2)
        load = home.load("digits", BODY)
        load.on_answer = note
        await load.during(home.deploy("digits", "m1", "m2", run="second"))
        await load.during(home.deploy("digits", "m3", run="third"))
        await until(lambda: len(home.attempts) == 2, "the old revisions to end")
        assert load.failures == []
        assert revisions[0] == b"1"
        assert revisions[-1] == b"3"
        assert set(revisions) == {b"1", b"2", b"3"}
        assert home.attempts == {GATEWAY_ATTEMPT, "service-digits.r3.m3.0"}


@asynchronous
async def test_the_same_deployment_again_starts_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2")
        before = home.runner.alive
        change = await home.deploy("digits", "m1", "m2", run="second")
        assert (change.state, change.revision) == ("ready", 1)
        assert home.runner.alive == before


@asynchronous
async def test_the_control_plane_may_die_and_a_successor_finds_everything_at_work(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2", replicas=2)
        before, pids = home.runner.alive, _pids(home)
        load = home.load("digits", BODY)
        await load.during(home.restart_control_plane())
        assert load.failures == []
        assert home.runner.alive == before
        assert _pids(home) == pids
        assert (await home.state("digits", "ready")).revision == 1


@asynchronous
async def test_what_died_with_the_control_plane_is_started_by_its_successor(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=2)
        await home.manager.close()
        for attempt in (GATEWAY_ATTEMPT, AttemptId("service-digits.r1.m1.0")):
            home.runner.kill(attempt)
        await until(lambda: len(home.attempts) == 1, "both to end")
        await home.restart_control_plane()
        await home.state("digits", "ready")
        assert (await home.ask("POST", "/v1/models/digits:predict", BODY)).status == 200
        assert home.gateway_port == home.port
        assert home.runner.unacknowledged == []


@asynchronous
async def test_a_damaged_model_fails_the_deployment_and_leaves_the_old_revision_serving(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        home.model("m2")
        (home.root / "models" / "m2" / "model.onnx").write_bytes(b"damaged")
        change = await home.deploy("digits", "m1", "m2", run="second")
        assert change.state == "failed"
        assert "model 'm2' can not be started" in change.reason
        assert "is not a whole ONNX file" in change.reason
        response = await home.ask("POST", "/v1/models/digits:predict", BODY)
        assert response.headers[b"x-argosy-revision"] == b"1"
        view = home.view("digits")
        assert (view.state, view.revision) == ("ready", 1)
        assert "revision 2 failed" in view.reason
        await until(lambda: len(home.attempts) == 2, "the failed revision to end")


@asynchronous
async def test_a_first_deployment_that_fails_is_shown_as_failed(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        deployment = home.deployment("digits", "m1")
        (home.root / "models" / "m1").rename(home.root / "models" / "elsewhere")
        home.manager.deploy(deployment)
        change = await home.answer("run")
        assert (change.state, home.view("digits").state) == ("failed", "failed")
        assert "artifact m1 does not exist" in change.reason
        assert await _status(home, "/v1/models/digits") == 404


async def _status(home: Stage, path: str) -> int:
    """Also of a gateway that has only just been started."""
    for _ in range(1000):
        try:
            return (await home.ask("GET", path)).status
        except RequestFailed:
            await asyncio.sleep(0.01)
    raise AssertionError("the gateway does not answer")


@asynchronous
async def test_a_deployment_that_is_not_ready_in_time_fails_with_what_is_missing(tmp_path: Path) -> None:
    async with stage(tmp_path, Settings(deployment_seconds=0.01)) as home:
        change = await home.deploy("digits", "m1")
        assert change.state == "failed"
        assert "not ready within 0.01 s" in change.reason
        await until(lambda: home.attempts <= {GATEWAY_ATTEMPT}, "the failed revision to end")


@asynchronous
async def test_a_replica_that_keeps_failing_shows_why(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        (home.root / "models" / "m1" / "model.onnx").write_bytes(b"damaged")
        home.runner.kill(AttemptId("service-digits.r1.m1.0"))
        view = await home.state("digits", "failed")
        assert "is not a whole ONNX file" in view.reason
        assert "0 of 1 replicas ready" in view.reason
        response = await home.ask("POST", "/v1/models/digits:predict", BODY)
        assert (response.status, response.headers[b"retry-after"]) == (503, b"1")


@asynchronous
async def test_a_deleted_service_finishes_its_requests_and_leaves_nothing(tmp_path: Path) -> None:
    slow = predict_body(*pixels(1500))
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2")
        asked = [asyncio.create_task(home.ask("POST", "/v1/models/digits:predict", slow)) for _ in range(4)]
        await asyncio.sleep(0.05)
        home.manager.delete("digits")
        assert {response.status for response in await asyncio.gather(*asked)} == {200}
        await until(lambda: home.attempts == {GATEWAY_ATTEMPT}, "every process to end")
        assert (await home.ask("GET", "/v1/models/digits")).status == 404
        assert (home.records.rows, home.manager.views()) == ({}, [])
        with pytest.raises(NotFound, match="services here: none"):
            home.manager.delete("digits")


@asynchronous
async def test_before_all_is_stopped_requests_under_way_are_answered_and_no_more_are_begun(
    tmp_path: Path,
) -> None:
    slow = predict_body(*pixels(1500))
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", "m2")
        asked = [asyncio.create_task(home.ask("POST", "/v1/models/digits:predict", slow)) for _ in range(4)]
        await asyncio.sleep(0.05)
        await home.manager.drain()
        assert {one.done() and one.result().status for one in asked} == {200}
        late = await home.ask("POST", "/v1/models/digits:predict", BODY)
        assert (late.status, late.headers[b"retry-after"]) == (503, b"5")
        assert b"being stopped" in late.body


@asynchronous
async def test_several_services_share_the_gateway(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        home.manager.deploy(home.deployment("one", "m1", run="a"))
        home.manager.deploy(home.deployment("one-more", "m2", run="b"))
        await asyncio.gather(home.answer("a"), home.answer("b"))
        for service in ("one", "one-more"):
            status = await home.ask("GET", f"/v1/models/{service}")
            assert status.body.startswith(f'{{"name":"{service}","ready":true'.encode())
        home.manager.delete("one")
        await until(lambda: [view.name for view in home.manager.views()] == ["one-more"], "one to go")
        assert (await home.ask("GET", "/v1/models/one-more")).status == 200
