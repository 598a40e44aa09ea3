"""Replicas that come and go with the load, with real processes and a real Envoy."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from argosy.flow.service_options import Scaling, ServiceOptions, Strategy
from argosy.runtime.protocol import AttemptId
from argosy.serve.lifecycle.state import GATEWAY_ATTEMPT, Settings

from .harness import asynchronous, until
from .models import pixels, predict_body
from .stage import Stage, stage

pytestmark = pytest.mark.slow

BODY = predict_body(pixels()[0])
PREDICT = "/v1/models/digits:predict"
QUICK = Settings(sample_seconds=0.1, standby_seconds=0.5)
EVENT = ServiceOptions(strategy=Strategy.EVENT, scaling=Scaling(idle_seconds=0.5))
STEPS = ServiceOptions(
    scaling=Scaling(target=2.0, stable_window_seconds=1.0, panic_window_seconds=0.3, idle_seconds=1.0)
)


def replicas(home: Stage) -> set[AttemptId]:
    return {one for one in home.attempts if one.startswith("service-")}


async def at_zero(home: Stage) -> None:
    await home.state("digits", "idle")
    await until(lambda: not replicas(home), "every replica to end")


@asynchronous
async def test_replicas_follow_the_load_up_and_down_without_a_failed_request(tmp_path: Path) -> None:
    async with stage(tmp_path, QUICK) as home:
        await home.deploy("digits", "m1", most=3, options=STEPS)
        load = home.load("digits", BODY, callers=12)

        async def grow() -> None:
            await until(lambda: len(home.view("digits").members[0].replicas) == 3, "three replicas")
            await home.state("digits", "ready")

        await load.during(grow())
        assert "3 is the most allowed" in home.view("digits").scaling
        lone = home.load("digits", BODY, callers=1)

        async def shrink() -> None:
            await until(lambda: len(replicas(home)) == 1, "one replica")

        await lone.during(shrink(), tail=5)
        assert load.failures == lone.failures == []
        assert home.view("digits").state == "ready"


@asynchronous
async def test_the_bounds_of_a_service_can_be_changed_while_it_serves(tmp_path: Path) -> None:
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1")
        load = home.load("digits", BODY)

        async def scale() -> None:
            home.manager.scale("digits", 3, 3, "ann")
            await until(lambda: len(replicas(home)) == 3, "three replicas")
            await home.state("digits", "ready")
            home.manager.scale("digits", 1, 1, "ann")
            await until(lambda: len(replicas(home)) == 1, "one replica")

        await load.during(scale())
        assert load.failures == []
        view = home.view("digits")
        assert (view.replicas, view.revision) == ((1, 1), 1)
        assert [(one.action, one.user) for one in view.releases] == [
            ("deploy", ""),
            ("scale", "ann"),
            ("scale", "ann"),
        ]


@pytest.mark.parametrize("models", [("m1",), ("m1", "m2")], ids=["one model", "ensemble"])
@asynchronous
async def test_requests_to_a_service_at_zero_wait_and_are_answered(
    tmp_path: Path, models: tuple[str, ...]
) -> None:
    async with stage(tmp_path, QUICK) as home:
        await home.deploy("digits", *models, options=EVENT)
        await at_zero(home)
        assert "no request for 0.5 s" in home.view("digits").scaling
        asked = [asyncio.create_task(home.ask("POST", PREDICT, BODY)) for _ in range(12)]
        answers = await asyncio.gather(*asked)
        assert {one.status for one in answers} == {200}
        assert {one.headers[b"x-argosy-revision"] for one in answers} == {b"1"}
        assert len(json.loads(answers[0].body)["predictions"][0]) == 10
        await at_zero(home)
        assert (await home.ask("POST", PREDICT, BODY)).status == 200


@asynchronous
async def test_a_start_from_zero_that_fails_is_told_to_whoever_waits(tmp_path: Path) -> None:
    async with stage(tmp_path, QUICK) as home:
        await home.deploy("digits", "m1", options=EVENT)
        await at_zero(home)
        (home.root / "models" / "m1" / "model.onnx").write_bytes(b"damaged")
        answer = await home.ask("POST", PREDICT, BODY)
        assert answer.status == 503
        assert b"model 'm1' does not start" in answer.body
        assert b"retry-after" in answer.headers


@asynchronous
async def test_a_new_control_plane_answers_what_comes_to_a_service_at_zero(tmp_path: Path) -> None:
    async with stage(tmp_path, QUICK) as home:
        await home.deploy("digits", "m1", options=EVENT)
        await at_zero(home)
        await home.restart_control_plane()
        await home.state("digits", "idle")
        assert (await home.ask("POST", PREDICT, BODY)).status == 200


@asynchronous
async def test_load_that_comes_and_goes_around_zero_fails_no_request(tmp_path: Path) -> None:
    options = ServiceOptions(strategy=Strategy.EVENT, scaling=Scaling(target=4.0, idle_seconds=0.0))
    async with stage(tmp_path, QUICK) as home:
        await home.deploy("digits", "m1", most=2, options=options)
        for _ in range(12):
            answers = await asyncio.gather(*(home.ask("POST", PREDICT, BODY) for _ in range(3)))
            assert [one.status for one in answers] == [200] * 3
            await asyncio.sleep(0.15)


@asynchronous
async def test_a_replica_that_hangs_is_replaced_and_no_request_fails(tmp_path: Path) -> None:
    settings = Settings(check_seconds=0.1, check_timeout_seconds=0.3, kill_seconds=0.2)
    async with stage(tmp_path, settings) as home:
        await home.deploy("digits", "m1", replicas=2)
        load = home.load("digits", BODY, callers=4)
        hung = AttemptId("service-digits.r1.m1.0")
        before = dict(home.runner.alive)[hung]

        async def hang() -> None:
            home.runner.kill(hung, signal.SIGSTOP)
            await until(lambda: dict(home.runner.alive).get(hung, 0) > before, "another process")
            await home.state("digits", "ready")

        await load.during(hang())
        assert load.failures == []
        (replica, _) = home.view("digits").members[0].replicas
        assert replica.restarts == 1
        assert "it did not answer 3 checks in a row: no answer within 0.3 s" in replica.reason


@asynchronous
async def test_nothing_is_left_of_a_service_at_zero_that_is_deleted(tmp_path: Path) -> None:
    async with stage(tmp_path, QUICK) as home:
        await home.deploy("digits", "m1", options=EVENT)
        await at_zero(home)
        home.manager.delete("digits")
        await until(lambda: not home.manager.views(), "the service to be forgotten")
        assert (home.attempts, home.records.rows) == ({GATEWAY_ATTEMPT}, {})
