"""The gateway's log as counts: every line once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.clock import ManualClock
from argosy.metadata.records import AuditRecord
from argosy.metadata.store import MetadataStore
from argosy.serve.access.audit import AuditQuery, AuditReader
from argosy.serve.access.audit_lines import count
from argosy.serve.gateway.envoy.audit_log import FIELDS

from .harness import asynchronous, until


def line(time: float = 3600.5, status: int = 200, **more: Any) -> bytes:
    values = {"time": f"{time:.3f}", "status": status, "service": "m", "received": 10, "sent": 20}
    values |= {"milliseconds": 30, "path": "/v1/models/m:predict", **more}
    return "\t".join(str(values.get(name, "-")) for name in FIELDS).encode() + b"\n"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "answered"),
        ({"grpc": 0}, "answered"),
        ({"grpc": 3}, "invalid"),
        ({"grpc": 14}, "failed"),
        ({"status": 404}, "invalid"),
        ({"status": 503}, "failed"),
        ({"status": 0, "flags": "DC"}, "abandoned"),
        ({"status": 429}, "refused: queue"),
        ({"status": 429, "refused": "requests"}, "refused: requests"),
        ({"status": 200, "grpc": 8, "refused": "concurrency"}, "refused: concurrency"),
        ({"status": 401, "refused": "token"}, "refused: token"),
    ],
)
def test_every_line_has_one_outcome(fields: dict[str, Any], expected: str) -> None:
    assert [one.outcome for one in count(line(**fields))] == [expected]


def test_the_text_of_a_caller_changes_no_other_field() -> None:
    (found,) = count(line(model="a\tb\t-\t-", user="ada"))
    assert (found.user, found.service, found.requests) == ("ada", "m", 1)


def test_lines_are_added_up_by_hour_caller_service_and_outcome() -> None:
    lines = (
        line() + line(7199.0) + line(7200.0) + line(user="ada", group="staff") + line(user="ada", tier="gold")
    )
    lines += line()[:30] + b"\n" + b"x" + line() + b"\n\xff\n"
    assert count(lines) == [
        AuditRecord(3600, "", "", "anonymous", "m", "answered", 2, 20, 40, 0.06, 3600.5, 7199.0),
        AuditRecord(7200, "", "", "anonymous", "m", "answered", 1, 10, 20, 0.03, 7200.0, 7200.0),
        AuditRecord(3600, "ada", "staff", "signed-in", "m", "answered", 1, 10, 20, 0.03, 3600.5, 3600.5),
        AuditRecord(3600, "ada", "", "gold", "m", "answered", 1, 10, 20, 0.03, 3600.5, 3600.5),
    ]


class Log:
    """A gateway's log and the store it is counted into."""

    def __init__(self, root: Path) -> None:
        self.store = MetadataStore.open(root / "argosy.db")
        self.file = root / "audit.log"
        self.old = root / "audit.1.log"
        self.reader = self.again()

    def again(self, rotate_bytes: int = 1000) -> AuditReader:
        """A reader that knows only what is stored."""
        socket = str(self.file.with_name("nobody.sock"))
        self.reader = AuditReader(self.store, self.file, socket, ManualClock(10_000.0), rotate_bytes)
        return self.reader

    def write(self, content: bytes, file: Path | None = None) -> None:
        with open(file or self.file, "ab") as opened:
            opened.write(content)

    @property
    def requests(self) -> int:
        return sum(one.requests for one in AuditQuery().rows(self.store))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.store.close()


def read(log: Log) -> int:
    while log.reader.read():
        pass
    return log.requests


def test_a_line_counts_once_it_is_whole_and_only_once(log: Log) -> None:
    assert read(log) == 0
    log.write(line() + line()[:20])
    assert (read(log), read(log)) == (1, 1)
    log.again()
    assert read(log) == 1
    log.write(line()[20:])
    assert read(log) == 2
    log.file.write_bytes(line())
    assert read(log) == 3


@asynchronous
async def test_a_long_log_is_renamed_and_removed_when_all_of_it_is_counted(
    log: Log,
) -> None:
    log.write(line() * 20)
    await log.reader.turn()
    assert (log.requests, log.old.exists(), log.file.stat().st_size) == (20, True, 0)
    assert log.file.stat().st_mode & 0o777 == 0o600
    # Until Envoy has opened the new file, it writes to the old one.
    log.write(line(), log.old)
    await log.reader.turn()
    assert (log.requests, log.old.exists()) == (21, True)
    log.write(line() * 2, log.old)
    log.write(line())
    log.again()
    await log.reader.turn()
    assert (log.requests, log.old.exists()) == (24, False)
    log.again()
    assert read(log) == 24


@asynchronous
async def test_an_end_between_counting_the_old_file_and_removing_it_counts_nothing_twice(log: Log) -> None:
    log.write(line() * 20)
    await log.reader.turn()
    log.write(line() * 3)
    kept = log.old.read_bytes()
    inode = log.old.stat().st_ino
    keep = log.old.with_name("kept")
    keep.hardlink_to(log.old)
    assert read(log) == 23
    keep.rename(log.old)
    assert (log.old.read_bytes(), log.old.stat().st_ino) == (kept, inode)
    log.again()
    assert read(log) == 23
    assert not log.old.exists()


@asynchronous
async def test_a_store_that_may_not_grow_loses_no_line(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.write(b"".join(line(user=f"user-{number}") for number in range(5000)))
    connection = log.store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    for _ in range(3):
        await log.reader.turn()
    assert log.requests == 0
    (told,) = caplog.records
    assert "requests are not counted for now" in told.message
    assert "can not grow" in told.message
    connection.execute("PRAGMA max_page_count=1000000")
    await log.reader.turn()
    assert log.requests == 5000


@asynchronous
async def test_a_reader_that_runs_counts_until_it_is_closed(log: Log) -> None:
    log.write(line())
    log.reader.start(every_seconds=0.01)
    await until(lambda: log.requests == 1, "the first line")
    log.write(line())
    await until(lambda: log.requests == 2, "the second line")
    await log.reader.close()


def test_a_query_names_a_user_a_service_and_a_time(log: Log) -> None:
    log.write(line(user="ada") + line(user="bob", service="n") + line(10_000.0, user="ada"))
    read(log)
    found = [(one.user, one.service, one.hour) for one in AuditQuery(user="ada").rows(log.store)]
    assert found == [("ada", "m", 3600), ("ada", "m", 7200)]
    assert [one.user for one in AuditQuery(service="n").rows(log.store)] == ["bob"]
    assert [one.hour for one in AuditQuery(since=9000.0).rows(log.store)] == [7200]
