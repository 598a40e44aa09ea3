"""Shadowed requests: what is compared, what is told, and what is dropped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.api.views import ComparisonView
from argosy.runtime.protocol import Ended, Reported
from argosy.serve.http.client import Response
from argosy.serve.router.comparer import WAITING
from argosy.serve.router.comparing import Compared, Tally, add, compare
from argosy.serve.router.quorum import Failure, Outcome

from ..harness import asynchronous, until  # noqa: TID252
from .standin import ATTEMPT, Asked, RouterProcess, Serve, Told, process, standing


def rows(*values: list[float]) -> Response:
    return Response(200, json.dumps({"predictions": values}).encode(), {})


@pytest.mark.parametrize(
    ("serving", "shadow", "expected"),
    [
        (rows([0.1, 0.9], [0.6, 0.4]), rows([0.2, 0.8], [0.3, 0.7]), (2, 1, 0.3, "")),
        (rows([0.1, 0.9]), Failure("gone"), (0, 0, None, "gone")),
        (rows([0.1, 0.9]), Response(500, b'{"error": "boom"}', {}), (0, 0, None, "status 500: boom")),
        (
            rows([0.1, 0.9]),
            rows([0.1, 0.8, 0.1]),
            (0, 0, None, "has the shapes {'': (1, 3)} where {'': (1, 2)}"),
        ),
        (rows([0.1, 0.9]), Response(200, b"?", {}), (0, 0, None, "'the shadow'")),
        (Response(400, b"", {}), Response(400, b"", {}), (0, 0, None, "")),
        (Failure("gone"), rows([1]), (0, 0, None, "")),
        (
            Response(200, b'{"predictions": [1.0, 2.0]}', {}),
            Response(200, b'{"predictions": [1.0, 2.5]}', {}),
            (2, 1, 0.5, ""),
        ),
    ],
)
def test_two_answers_are_compared(
    serving: Outcome, shadow: Outcome, expected: tuple[int, int, float | None, str]
) -> None:
    compared = compare(serving, shadow, is_v2=False)
    assert (compared.instances, compared.agreements) == expected[:2]
    assert compared.largest_difference == pytest.approx(expected[2])
    assert expected[3] in compared.failure
    assert bool(compared.failure) is bool(expected[3])


@given(
    st.lists(
        st.builds(
            Compared, st.integers(0, 9), st.just(0), st.none() | st.floats(0, 9), st.sampled_from(["", "x"])
        )
    )
)
def test_the_tally_is_the_sum_of_all_that_was_compared(compared: list[Compared]) -> None:
    tally = Tally()
    for one in compared:
        tally = add(tally, one)
    view = msgspec.convert(tally.view(), ComparisonView)
    assert view.requests == len(compared)
    assert view.failures == sum(bool(one.failure) for one in compared)
    assert view.instances == sum(one.instances for one in compared)
    known = [one.largest_difference for one in compared if one.largest_difference is not None]
    assert view.largest_difference == (max(known) if known else None)


class ComparerProcess(RouterProcess):
    @property
    def reports(self) -> list[dict[str, Any]]:
        return [
            dict(one.body) for one in self.events if isinstance(one, Reported) and one.kind == "comparison"
        ]

    async def metric(self, name: str) -> float:
        text = (await self.ask("GET", "/metrics")).body.decode()
        return sum(float(line.split(" ")[-1]) for line in text.splitlines() if line.startswith(name))


@asynccontextmanager
async def comparer(folder: Path, serve: Serve) -> AsyncIterator[ComparerProcess]:
    async with standing(folder, serve) as behind:
        sides = {"authorities": ("r1.s", "r2.s"), "revisions": (1, 2)}
        payload = {"service": "s", "socket": str(folder / "gateway"), **sides}
        async with process(folder, "comparer", payload, behind, ComparerProcess) as started:
            yield started


def by_revision(asked: Asked) -> Told:
    answers = {"r1.s": [[0.1, 0.9], [0.6, 0.4]], "r2.s": [[0.2, 0.8], [0.3, 0.7]]}
    return Told(200, {"predictions": answers[asked.headers["host"]]})


@pytest.mark.slow
@asynchronous
async def test_both_revisions_are_asked_and_what_they_say_is_reported(tmp_path: Path) -> None:
    async with comparer(tmp_path, by_revision) as served:
        for _ in range(20):
            assert (await served.predict({"instances": [1, 2]}, "?x=1", traceparent="t")).status == 202
        last = await until(
            lambda: next((one for one in served.reports if one["requests"] == 20), None), "all to be compared"
        )
        assert last == {
            "requests": 20,
            "failures": 0,
            "instances": 40,
            "agreement": 0.5,
            "largest_difference": pytest.approx(0.3),
        }
        # One at once, then at most one a second.
        assert len(served.reports) <= 3
        assert {one.path for one in served.members.asked} == {"/v1/models/s:predict?x=1"}
        assert {one.headers["traceparent"] for one in served.members.asked} == {"t"}
        assert await served.metric("argosy_comparison_requests_total") == 20
        assert await served.metric("argosy_comparison_answer_seconds_count") == 40
        assert (await served.ask("GET", "/v1/models/s")).status == 404


@pytest.mark.slow
@asynchronous
async def test_copies_that_come_too_fast_are_dropped_and_counted(tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def serve(asked: Asked) -> Told:
        await waits.wait()
        return by_revision(asked)

    async with comparer(tmp_path, serve) as served:
        answers = [await served.predict({"instances": [1, 2]}) for _ in range(WAITING + 20)]
        assert {answer.status for answer in answers} == {202}
        assert json.loads(answers[-1].body)["compared"] == "never"
        dropped = await served.metric("argosy_comparison_dropped_total")
        assert 0 < dropped <= 20
        waits.set()
        expected = WAITING + 20 - dropped
        await until(lambda: any(one["requests"] == expected for one in served.reports), "the rest")


@pytest.mark.slow
@asynchronous
async def test_a_comparer_that_is_stopped_tells_what_it_has(tmp_path: Path) -> None:
    async with comparer(tmp_path, by_revision) as served:
        for _ in range(5):
            await served.predict({"instances": [1, 2]})
        served.runner.kill(ATTEMPT, 15)
        await until(lambda: any(isinstance(one, Ended) for one in served.events), "the comparer to end")
        assert served.reports[-1]["requests"] == 5
