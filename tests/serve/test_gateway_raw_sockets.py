"""The gateway among callers that speak in bytes: nothing comes to a replica but what the gateway knows of."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from argosy.serve.http.client import Client

from .harness import asynchronous
from .models import pixels, predict_body
from .raw_sockets import HIDDEN, PATH, SMUGGLING, exchange, request, statuses
from .stage import Stage, stage

pytestmark = pytest.mark.slow

# What a replica answers to every body that is sent here; the gateway's own refusals have another code.
FROM_A_REPLICA = b'"code":"invalid_input"'


async def asked_of_replicas(stage: Stage) -> int:
    """How many predictions the replica itself was asked for."""
    port = stage.view("digits").members[0].replicas[0].port
    assert port is not None
    client = Client(port)
    text = (await client.request("GET", "/metrics", timeout_seconds=10)).body.decode()
    client.close()
    return sum(int(count) for count in re.findall(r"^argosy_requests_total\{.*\} (\d+)$", text, re.M))


@asynchronous
async def test_no_request_comes_to_a_replica_that_the_gateway_did_not_see(tmp_path: Path) -> None:
    async with stage(tmp_path) as served:
        await served.deploy("digits", "m1")
        before = await asked_of_replicas(served)
        cases = [exchange(served.gateway_port, data + HIDDEN) for data in SMUGGLING.values()]
        answers = await asyncio.gather(*cases)
        passed_on = sum(answer.count(FROM_A_REPLICA) for answer in answers)
        assert (await asked_of_replicas(served) - before, passed_on > 0) == (passed_on, True)
        for name, answer in zip(SMUGGLING, answers, strict=True):
            assert {400, 501}.issuperset(int(status) for status in statuses(answer)), (name, answer)
            assert len(statuses(answer)) in (1, 2), (name, answer)
            assert len(statuses(answer)) == 1 or FROM_A_REPLICA in answer, (name, answer)
        # Lengths that contradict each other are never passed on, whatever stands behind them.
        for name in ("a length before chunks", "a length behind chunks", "two lengths", "a folded coding"):
            assert FROM_A_REPLICA not in answers[list(SMUGGLING).index(name)], name


@asynchronous
async def test_a_flood_at_the_gateway_is_refused_while_others_are_answered(tmp_path: Path) -> None:
    async with stage(tmp_path) as served:
        await served.deploy("digits", "m1")
        floods = [b"a: b\r\n" * 100_000, b"a: " + b"b" * 2_000_000, b"x-%d: b\r\n" % 1 * 1000 + b"\r\n"]
        load = served.load("digits", predict_body(*pixels()))
        answers = await load.during(
            asyncio.gather(*(exchange(served.gateway_port, request()[:-2] + flood) for flood in floods))
        )
        assert load.failures == []
        for answer in answers:
            # The caller may be reset before it has read why: it goes on sending.
            assert statuses(answer) in ([], [b"431"]), answer[:200]
        assert (await served.ask("POST", PATH.decode(), predict_body(*pixels()))).status == 200
