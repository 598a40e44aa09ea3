"""Shadows and shards as parts of a service, with real processes and a real Envoy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from argosy.flow.service_options import Release, ReleaseMode, Scaling, ServiceOptions, Sharding, Strategy
from argosy.serve.lifecycle.state import Settings

from .harness import asynchronous, until
from .models import expected, pixels, predict_body
from .stage import stage

pytestmark = pytest.mark.slow

STILL = Scaling(target=10_000.0)


@asynchronous
async def test_a_shadow_is_compared_and_costs_no_caller_anything(tmp_path: Path) -> None:
    shadow = ServiceOptions(scaling=STILL, release=Release(ReleaseMode.SHADOW, 100))
    async with stage(tmp_path, Settings(standby_seconds=0.3)) as home:
        await home.deploy("digits", "m1")
        await home.deploy("digits", "m2", run="second", options=shadow)
        load = home.load("digits", predict_body(*pixels(3)), callers=2)

        async def compared() -> None:
            await until(lambda: _instances(home.view("digits").revisions[1].comparison) >= 30, "comparisons")

        await load.during(compared())
        assert load.failures == []
        (first, second) = home.view("digits").revisions
        assert (first.percent, second.percent, second.shadow_percent) == (100, 0, 100)
        assert second.comparison is not None
        assert second.comparison.failures == 0
        assert second.comparison.largest_difference is not None
        assert second.comparison.largest_difference > 0
        home.manager.rollback("digits")
        await until(lambda: not [one for one in home.attempts if ".r2." in one], "the shadow to end")


def _instances(comparison: object) -> int:
    return getattr(comparison, "instances", 0)


@asynchronous
async def test_a_sharded_service_answers_one_large_request_in_order_while_shards_come_and_go(
    tmp_path: Path,
) -> None:
    options = ServiceOptions(Strategy.SHARDED, scaling=STILL, sharding=Sharding(rows=16))
    images = pixels(100)
    body = json.dumps({"instances": images.tolist()}).encode()
    async with stage(tmp_path) as home:
        await home.deploy("digits", "m1", replicas=2, options=options)
        load = home.load("digits", body, callers=2)

        async def scale() -> None:
            for count in (3, 1):
                home.manager.scale("digits", count, count)
                await until(lambda: len(home.view("digits").members[0].replicas) == count, "shards")  # noqa: B023
                await home.state("digits", "ready")

        await load.during(scale(), tail=10)
        assert load.failures == []
        answer = await home.ask("POST", "/v1/models/digits:predict", body)
        np.testing.assert_allclose(
            json.loads(answer.body)["predictions"], expected(1, images), rtol=1e-4, atol=1e-7
        )
