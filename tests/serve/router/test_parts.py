"""Cutting, naming and retrying sub-requests, and keeping the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.serve.http.client import Response
from argosy.serve.router.failures import StorageFull
from argosy.serve.router.merging import Merger
from argosy.serve.router.parts import Cutter, Part, Tiles, prefix, shard_key
from argosy.serve.router.quorum import Failure, Outcome
from argosy.serve.router.retrying import LONGEST_SECONDS, Again, Enough, Tries, decide
from argosy.serve.router.spool import Spool, stream

from ..harness import asynchronous  # noqa: TID252

PASSING = st.sampled_from([429, 500, 502, 503, 504]).map(lambda status: Response(status, b"", {}))
LASTING = st.sampled_from([200, 400, 404, 413]).map(lambda status: Response(status, b"", {}))


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=80), st.integers(1, 20), st.integers(1, 60))
def test_every_instance_is_in_one_part_in_order(values: list[int], rows: int, most: int) -> None:
    cutter = Cutter(rows, most)
    instances = [str(one).encode() for one in values]
    runs = [run for one in instances for run in cutter.add(one)] + cutter.rest()
    assert b",".join(run.text for run in runs) == b",".join(instances)
    first = 0
    for run in runs:
        part = run.part(prefix({"signature_name": b'"x"'}))
        assert json.loads(part.body) == {
            "signature_name": "x",
            "instances": values[first : first + part.count],
        }
        assert part.first == first
        assert 1 <= part.count <= rows
        assert len(run.text) - part.count < most or part.count == 1
        first += part.count


@given(st.binary(), st.binary())
def test_the_key_of_a_shard_is_that_of_its_bytes(one: bytes, other: bytes) -> None:
    assert (shard_key(one) == shard_key(other)) is (one == other)


def test_the_key_of_a_shard_stays_as_it_was() -> None:
    assert shard_key(b'{"instances":[1]}') == "e0c6a3bcfbb77b84"


def test_keys_spread_over_shards() -> None:
    counts = [0] * 4
    for number in range(4000):
        counts[int(shard_key(str(number).encode()), 16) % 4] += 1
    assert min(counts) > 850


def test_positions_in_a_shards_words_become_the_callers() -> None:
    assert Part(64, 64, b"").translated("instances[3][0] is 'x', but instances[0] is not") == (
        "instances[67][0] is 'x', but instances[64] is not"
    )
    tiles = Part(2, 4, b"", Tiles(2, (3, 5), 4))
    assert tiles.what == "tile [0, 4] to tile [1, 2] of instances[2]"
    assert tiles.translated("instances[1]: bad") == "tile [1, 0] of instances[2]: bad"


@given(
    st.lists(PASSING | st.just(Failure("gone")), max_size=10),
    LASTING,
    st.integers(0, 5),
    st.floats(0, 1, exclude_max=True),
)
def test_what_may_pass_is_tried_again_as_often_as_allowed(
    passing: list[Outcome], last: Outcome, retries: int, chance: float
) -> None:
    tries, made = Tries(retries), 0
    for outcome in (*passing, last):
        made += 1
        tries, decision = decide(tries, outcome, chance)
        if isinstance(decision, Enough):
            break
        assert 0 < decision.after_seconds <= LONGEST_SECONDS
    assert made == min(len(passing), retries) + 1
    assert isinstance(decision, Enough)


def test_a_shard_that_says_when_is_not_asked_before() -> None:
    asked = Response(429, b"", {b"retry-after": b"3"})
    assert decide(Tries(3), asked, 0.5)[1] == Again(3.0)
    for header in (b"0", b"soon", b"99999999999999", b""):
        decision = decide(Tries(3), Response(503, b"", {b"retry-after": header}), 0.0)[1]
        assert isinstance(decision, Again)
        assert 0 < decision.after_seconds <= LONGEST_SECONDS


async def read(body: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in body])


@pytest.mark.parametrize("memory", [0, 10, 10**6])
@asynchronous
async def test_what_is_kept_comes_back_as_it_was(tmp_path: Path, memory: int) -> None:
    spool = Spool(memory, lambda: (tmp_path / "spool").open("w+b"))
    written = [str(number).encode() * 7 for number in range(1000)]
    for one in written:
        spool.write(one)
    assert spool.length == sum(map(len, written))
    assert (tmp_path / "spool").exists() is (memory < 1000)
    assert await read(stream([b"<", spool, b">"])) == b"<" + b"".join(written) + b">"


def test_a_full_disk_is_told_and_not_a_crash() -> None:
    def full() -> IO[bytes]:
        return Path("/dev/full").open("wb")

    spool = Spool(10, full)
    with pytest.raises(StorageFull) as caught:
        spool.write(b"x" * 100)
    spool.close()
    assert caught.value.http_status == 507
    assert "after 100 bytes, No space left on device" in caught.value.message


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), min_size=1, max_size=8))
def test_merging_keeps_the_order_and_every_number_as_it_was_written(parts: list[list[int]]) -> None:
    @asynchronous
    async def merged() -> None:
        merger = Merger(None)
        for rows in parts:
            answer = {
                "predictions": [[one, 1.10] for one in rows],
                "labels": [str(one) for one in rows],
                "n": 3,
            }
            await merger.add(Part(0, len(rows), b""), json.dumps(answer).encode())
        answered = merger.answer(())
        body = await read(answered.body)
        assert len(body) == answered.length
        flat = [one for rows in parts for one in rows]
        assert json.loads(body) == {
            "predictions": [[one, 1.1] for one in flat],
            "labels": [str(one) for one in flat],
        }

    merged()
