"""Real gangs: started all or none, ended as one, with addresses nobody else gets."""

from __future__ import annotations

import json
import os
import socket
import time

import pytest

from argosy.runtime.ports import Reservation
from argosy.runtime.protocol import Cause

from .world import World, run

GANG = """
import json, os, signal, sys, time
import argosy.reporting as reporting

def describes():
    me = reporting.current()
    me.metrics(step=1, epoch=0, loss=0.5 + me.rank)
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "ARGOSY_RANK", "TF_CONFIG"]
    print(json.dumps({name: os.environ[name] for name in names}))
    return me.rank

def waits():
    me = reporting.current()
    me.report("event", {"message": "ready"})
    time.sleep(600)

def one_raises():
    me = reporting.current()
    if me.rank == 1:
        raise ValueError("rank 1 is unhappy")
    time.sleep(600)

def one_leaves_early():
    return os._exit(0) if reporting.current().rank == 1 else signal.pause()
"""


def test_every_rank_knows_its_place_and_the_chiefs_result_counts(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(GANG, "describes", workers=3)
            ended = await watched.run(spec)
            assert world.value(ended) == 0
            started = await watched.started(spec.attempt)
            assert len({pid for pid, _ in started.processes}) == 3
            seen = [json.loads(world.log(spec, rank)) for rank in range(3)]
            for rank, environment in enumerate(seen):
                assert environment["RANK"] == environment["ARGOSY_RANK"] == str(rank)
                assert environment["WORLD_SIZE"] == "3"
                cluster = json.loads(environment["TF_CONFIG"])
                assert cluster["task"] == {"type": "worker", "index": rank}
                assert cluster["cluster"] == json.loads(seen[0]["TF_CONFIG"])["cluster"]
            workers = json.loads(seen[0]["TF_CONFIG"])["cluster"]["worker"]
            master = f"{seen[0]['MASTER_ADDR']}:{seen[0]['MASTER_PORT']}"
            assert len({*workers, master}) == 4

    run(main())


def test_reports_carry_their_rank(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(GANG, "describes", workers=2)
            await watched.run(spec)
            bodies = {e.rank: e.body for e in watched.events if getattr(e, "kind", "") == "metrics"}
            assert bodies == {r: {"step": 1, "epoch": 0, "values": {"loss": 0.5 + r}} for r in range(2)}

    run(main())


def test_the_death_of_one_rank_ends_all_at_once_with_its_cause(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            spec = world.step(GANG, "waits", workers=2)
            watched.runtime.launch(spec)
            started = await watched.started(spec.attempt)
            await watched.until(lambda: len([e for e in watched.events if _is_ready(e)]) == 2)
            before = time.monotonic()
            os.kill(started.processes[1][0], 9)
            outcome = (await watched.ended(spec.attempt)).outcome
            assert (outcome.cause, outcome.rank, outcome.signal) == (Cause.SIGNAL, 1, 9)
            assert time.monotonic() - before < 1.0

    run(main())


def test_the_error_of_one_rank_is_the_gangs(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step(GANG, "one_raises", workers=3))).outcome
            assert (outcome.cause, outcome.rank) == (Cause.ERROR, 1)
            assert outcome.message == "ValueError: rank 1 is unhappy"
            assert outcome.line == 1 + GANG[: GANG.index("raise ValueError")].count("\n")

    run(main())


def test_a_rank_that_exits_without_a_word_ends_the_gang(world: World) -> None:
    async def main() -> None:
        async with world.running() as watched:
            outcome = (await watched.run(world.step(GANG, "one_leaves_early", workers=2))).outcome
            assert (outcome.cause, outcome.rank, outcome.exit_code) == (Cause.EXIT, 1, 0)

    run(main())


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_reserved_port_is_free_for_its_rank_only(option: int) -> None:
    reservation = Reservation(2)
    host, port = reservation.addresses[0].rsplit(":", 1)
    with socket.socket() as server, socket.socket() as stranger:
        server.setsockopt(socket.SOL_SOCKET, option, 1)
        server.bind((host, int(port)))
        server.listen()
        with pytest.raises(OSError, match="in use"):
            stranger.bind((host, int(port)))
        with socket.create_connection((host, int(port))) as client, server.accept()[0] as accepted:
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"
    reservation.release()


def _is_ready(event: object) -> bool:
    return getattr(event, "kind", "") == "event"
