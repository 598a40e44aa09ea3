"""What the gateway writes down, as it is counted; and what it says of its clusters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from argosy.clock import SystemClock
from argosy.errors import Unavailable
from argosy.flow.service_options import Access, TierLimit
from argosy.metadata.store import MetadataStore
from argosy.serve.access.audit import AuditReader
from argosy.serve.gateway.statistics import ClusterStatistics, cluster_statistics

from .harness import asynchronous, until
from .standins import gateway
from .test_gateway_limits import PREDICT, _start, _token

pytestmark = pytest.mark.slow


@asynchronous
async def test_the_audit_says_who_asked_how_much_and_what_was_refused(tmp_path: Path) -> None:
    limits = {"anonymous": TierLimit(requests=2, period_seconds=3600), "gold": TierLimit(concurrency=1)}
    store = MetadataStore.open(tmp_path / "argosy.db")
    async with gateway(tmp_path) as home:
        await _start(home, Access(limits))
        file = Path(home.files.paths.audit)
        reader = AuditReader(store, file, home.files.paths.admin_socket, SystemClock(), 1000)
        gold = _token(home, group="staff", tier="gold")
        for _ in range(5):
            await home.ask("POST", f"{PREDICT}?secret=hunter2", b"private")
        for one in home.standins:
            one.gate.clear()
        first = asyncio.create_task(home.ask("POST", PREDICT, b"12345", gold))
        await home.active("~m~gold", 1)
        await home.ask("POST", PREDICT, headers=gold)
        for one in home.standins:
            one.gate.set()
        await first
        await home.ask("POST", PREDICT, headers={"authorization": "Bearer nonsense"})
        await home.ask("POST", "/v1/models/nothing:predict")
        await home.ask("POST", "/v1/models/m/versions/9:predict")
        for path in ("/healthz", "/v1/models/m", "/v1/models", "/v2/health/ready"):
            await home.ask("GET", path)

        def counts() -> dict[tuple[str, str, str, str], int]:
            while reader.read():
                pass
            return {(one.user, one.tier, one.service, one.outcome): one.requests for one in store.audit()}

        expected = {
            ("", "anonymous", "m", "answered"): 2,
            ("", "anonymous", "m", "refused: requests"): 3,
            ("ada", "gold", "m", "answered"): 1,
            ("ada", "gold", "m", "refused: concurrency"): 1,
            ("", "anonymous", "m", "refused: token"): 1,
            ("", "anonymous", "", "invalid"): 1,
            ("", "anonymous", "m", "invalid"): 1,
        }
        await until(lambda: sum(counts().values()) >= sum(expected.values()), "the lines")
        assert counts() == expected
        answered = next(one for one in store.audit(user="ada") if one.outcome == "answered")
        assert (answered.group, answered.received) == ("staff", 5)
        assert answered.seconds > 0
        text = file.read_text()
        for secret in ("hunter2", "private", "Bearer", gold["authorization"].split(".")[2]):
            assert secret not in text
        assert file.stat().st_mode & 0o077 == 0
        old = file.with_name("audit.1.log")
        for _ in range(10):
            await home.ask("POST", "/v1/models/free:predict")
        await until(lambda: file.stat().st_size >= 1000, "a log that is long")
        await reader.turn()
        assert old.exists()
        await home.ask("POST", "/v1/models/free:predict")
        await until(lambda: bool(counts()) and not old.exists(), "Envoy to write to the new file")
        assert counts()["", "anonymous", "free", "answered"] == 11
    store.close()


@asynchronous
async def test_the_statistics_tell_of_each_cluster_what_is_under_way(tmp_path: Path) -> None:
    async with gateway(tmp_path) as home:
        await _start(home, Access({"anonymous": TierLimit(concurrency=3, queue=5)}))
        admin = home.files.paths.admin_socket
        assert await cluster_statistics(admin) == {"m.r1": ClusterStatistics()}
        for one in home.standins:
            one.gate.clear()
        asked = [asyncio.create_task(home.ask("POST", PREDICT)) for _ in range(4)]
        asked += [asyncio.create_task(home.ask("POST", "/v1/models/free:predict")) for _ in range(2)]
        await until(lambda: sum(one.waiting for one in home.standins) == 5, "what is under way")
        assert await cluster_statistics(admin) == {"m.r1": ClusterStatistics(active=5, total=5)}
        for one in home.standins:
            one.gate.set()
        await asyncio.gather(*asked)
        assert await cluster_statistics(admin) == {"m.r1": ClusterStatistics(total=6)}
    with pytest.raises(Unavailable, match="does not say"):
        await cluster_statistics(admin)
