"""What the disk and other processes do to the store: all or nothing, and it works again after."""

from __future__ import annotations

import itertools
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from argosy.errors import ArgosyError, InvalidInput, Unavailable
from argosy.metadata import sqlite
from argosy.metadata.records import Record
from argosy.metadata.store import MetadataStore

from ..artifacts.disks import fill, permissions_that_count, read_only, small_disk  # noqa: TID252
from .building import event, everything, memo, metric, one_of_each, run


def many(count: int) -> list[Record]:
    return [memo(f"{number:064}", "s" * 500) for number in range(count)]


def test_a_store_that_may_not_grow_refuses_whole_transactions_and_works_again(store: MetadataStore) -> None:
    store.write([run()])
    connection = store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(Unavailable, match="can not grow") as caught:
        store.write([event(1), *many(200)])
    assert "space" in caught.value.hint
    assert store.events("r") == []
    assert store.latest_memo("s" * 500) is None
    connection.execute("PRAGMA max_page_count=1000000")
    store.write([event(1), *many(200)])
    assert len(store.events("r")) == 1


def write_until_refused(store: MetadataStore) -> tuple[int, Unavailable]:
    """How many events are committed when the store refuses, and why it does."""
    for number in itertools.count(2):
        try:
            store.write([event(number), *many(20)])
        except Unavailable as refusal:
            return number - 1, refusal
    raise AssertionError


@pytest.fixture
def full_home(tmp_path: Path) -> Any:
    with small_disk(tmp_path / "disk", "3m") as mounted:
        yield tmp_path / "disk" if mounted else None


def test_a_full_disk_refuses_whole_transactions_and_works_again(full_home: Path | None, path: Path) -> None:
    store = MetadataStore.open((full_home or path.parent) / "argosy.db")
    store.write(one_of_each())
    if full_home:
        filler = fill(full_home)
    else:
        store._writer._connection.execute("PRAGMA max_page_count=60")
    kept, refusal = write_until_refused(store)
    assert refusal.hint
    assert everything(store)[0] == one_of_each()[0]
    assert len(store.events("r")) == kept
    if full_home:
        filler.unlink()
    else:
        store._writer._connection.execute("PRAGMA max_page_count=1000000")
    store.write([event(kept + 1), *many(20)])
    assert len(store.events("r")) == kept + 1
    store.close()


def test_a_home_on_a_full_disk_is_not_opened_and_opens_with_space(full_home: Path | None) -> None:
    if full_home is None:
        return
    path = full_home / "argosy.db"
    filler = fill(full_home)
    with pytest.raises(Unavailable) as caught:
        MetadataStore.open(path)
    assert caught.value.hint
    filler.unlink()
    MetadataStore.open(path).close()
    filler = fill(full_home)
    with pytest.raises(Unavailable):
        MetadataStore.open(path)
    filler.unlink()
    store = MetadataStore.open(path)
    store.write(one_of_each())
    assert everything(store) == one_of_each()
    store.close()


def test_a_read_only_home_is_unavailable_with_a_hint(path: Path) -> None:
    path.parent.mkdir()
    with read_only(path.parent), pytest.raises(Unavailable) as caught:
        MetadataStore.open(path)
    assert "permission" in caught.value.hint
    with read_only(path.parent), pytest.raises(Unavailable):
        MetadataStore.open(path.parent / "deeper" / "argosy.db")
    MetadataStore.open(path).close()
    path.chmod(0o444)
    with permissions_that_count(), pytest.raises(Unavailable, match="read-only") as caught:
        MetadataStore.open(path)
    assert "permission" in caught.value.hint
    path.chmod(0o644)
    MetadataStore.open(path).close()


def test_a_locked_database_is_unavailable_and_works_again(
    store: MetadataStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write([run()])
    store._writer._connection.execute("PRAGMA busy_timeout=20")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another process") as caught:
        store.write([event(1)])
    assert caught.value.hint
    assert store.events("r") == []
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.02)
    with pytest.raises(Unavailable, match="another process"):
        MetadataStore.open(path)
    other.execute("ROLLBACK")
    other.close()
    store.write([event(1)])
    assert len(store.events("r")) == 1


def test_a_writer_waits_for_another_process_to_finish(store: MetadataStore, path: Path) -> None:
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('holds', flush=True); sys.stdin.read(1); c.execute('ROLLBACK')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"holds\n"
        other.stdin.write(b"x")
        other.stdin.flush()
        store.write([run()])
    assert store.run("r") == run()


def test_a_damaged_page_is_named_when_it_is_read(path: Path) -> None:
    store = MetadataStore.open(path)
    store.write([run(), *(event(number) for number in range(1, 2000))])
    store.close()
    content = bytearray(path.read_bytes())
    for place in range(4096 * 3, len(content)):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged") as caught, closing(MetadataStore.open(path)) as damaged:
        damaged.events("r")
    assert "backup" in caught.value.hint


WRITER = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
from argosy.metadata.records import EventRecord, MetricRecord, RunRecord
from argosy.metadata.store import MetadataStore
store = MetadataStore.open(pathlib.Path(sys.argv[1]))
run = RunRecord("r", "w", "running", 1.0, b"")
number = len(store.events("r")) + 1
print("open", flush=True)
while True:
    metrics = [MetricRecord("a", 0, f"m{i}", number, float(number), 1.0) for i in range(number % 30)]
    store.write([run, EventRecord("r", number, 1.0, "k", b"x" * (number % 5000)), *metrics])
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_loses_no_committed_transaction_and_leaves_none_torn(path: Path) -> None:
    generator = random.Random(7)
    source = str(Path(sqlite.__file__).parents[2])
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), source], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"open\n"
            committed = 0
            for _ in range(generator.randrange(1, 120)):
                committed = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            committed = max([committed, *map(int, writer.stdout.read().split())])
        store = MetadataStore.open(path)
        events = [record.sequence for record in store.events("r")]
        assert events == list(range(1, len(events) + 1))
        assert len(events) in (committed, committed + 1)
        written: dict[int, int] = {}
        for record in store.metrics("a"):
            written[record.step] = written.get(record.step, 0) + 1
        assert written == {number: number % 30 for number in events if number % 30}
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check.close()
        store.close()


def test_errors_carry_facts_as_json(store: MetadataStore, path: Path) -> None:
    store._writer._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(ArgosyError) as caught:
        store.write([metric()])
    assert caught.value.to_json()["context"]["database"] == str(path)
