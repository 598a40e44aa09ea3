"""What is written is read: records of every kind, newest first, counted, thinned."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.errors import InvalidRequest
from argosy.metadata import queries, sqlite
from argosy.metadata.records import AttemptRecord, AuditPosition, NodeRecord, Record, RunRecord
from argosy.metadata.rows import ROW_OF, TABLES
from argosy.metadata.store import MetadataStore

from .building import (
    artifact,
    attempt,
    counted,
    event,
    everything,
    memo,
    metric,
    node,
    one_of_each,
    run,
    sample,
    service,
    token,
)


def test_every_kind_of_record_comes_back_equal(store: MetadataStore, path: Path) -> None:
    store.write(one_of_each())
    assert everything(store) == one_of_each()
    store.close()
    again = MetadataStore.open(path)
    assert everything(again) == one_of_each()
    again.close()


def test_records_with_nothing_optional_come_back_equal(store: MetadataStore) -> None:
    bare: list[Any] = [
        RunRecord("r", "w", "running", 1.0, b""),
        NodeRecord("r", "n", 0, "s", "step", "waiting"),
        AttemptRecord("a", "r", "n", 1, 1, "queued"),
    ]
    store.write(bare)
    assert [store.run("r"), *store.nodes("r"), *store.attempts("r")] == bare


def test_counts_of_equal_key_are_added_up_and_the_position_moves_with_them(store: MetadataStore) -> None:
    store.add_audit([counted(), counted(outcome="failed", last_at=9.0)], AuditPosition("gateway", 1, 10))
    store.add_audit([counted(requests=4, first_at=1.0), counted(3600)], AuditPosition("gateway", 1, 20))
    first = counted(requests=5, received=4, sent=6, seconds=1.0, first_at=1.0)
    assert store.audit() == [first, counted(outcome="failed", last_at=9.0), counted(3600)]
    assert store.audit(since=7.0) == [counted(outcome="failed", last_at=9.0)]
    assert store.audit(user="bob") == store.audit(service="other") == []
    assert store.audit(user="ada", service="digits") == store.audit()
    assert store.audit_position("gateway") == AuditPosition("gateway", 1, 20)
    assert store.forget_audit(before=7.0) == 2
    assert store.audit() == [counted(outcome="failed", last_at=9.0)]


def test_a_token_is_found_by_its_id_and_revoked_by_writing_it_again(store: MetadataStore) -> None:
    store.write([token("b", 2.0), token("a", 1.0)])
    assert store.tokens() == [token("a", 1.0), token("b", 2.0)]
    revoked = msgspec.structs.replace(token("b", 2.0), revoked_at=8.0)
    store.write([revoked])
    assert (store.token("b"), store.token("c")) == (revoked, None)


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_the_columns_are_the_fields_in_their_order(kind: type[Record]) -> None:
    assert [column.name for column in TABLES[kind].columns] == list(kind.__struct_fields__)
    example = next(record for record in one_of_each() if type(record) is kind)
    assert len(ROW_OF[kind](example)) == len(kind.__struct_fields__)


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_the_key_of_a_table_is_the_one_its_record_tells(kind: type[Record]) -> None:
    told = (kind.__doc__ or "").split("Key:")[1].split(". ")[0]
    for column in TABLES[kind].primary_key.columns:
        assert f"``{column.name}``" in told


def test_an_equal_key_replaces_the_row_and_the_last_one_counts(store: MetadataStore) -> None:
    store.write(one_of_each())
    store.write([service(revision=2), run(state="failed"), node(state="failed"), service(revision=3)])
    assert store.services() == [service(revision=3)]
    assert [store.run("r"), *store.nodes("r")] == [run(state="failed"), node(state="failed")]
    assert store.attempts("r") == [attempt()]


def test_the_first_record_of_an_artifact_stays(store: MetadataStore) -> None:
    first = artifact()
    store.write([first, msgspec.structs.replace(first, produced_by="later", created_at=5.0)])
    store.write([msgspec.structs.replace(first, produced_by="latest", created_at=0.5)])
    assert store.artifact(first.digest) == first
    assert store.artifact("e" * 64) is None


def test_a_parent_may_come_after_its_children_in_one_transaction(store: MetadataStore) -> None:
    store.write([event(), attempt(), node(), run()])
    assert store.run("r") == run()


def test_a_child_without_its_parent_is_refused_and_nothing_is_written(store: MetadataStore) -> None:
    with pytest.raises(InvalidRequest, match="do not fit together") as caught:
        store.write([run(), event(), node(run="other")])
    assert caught.value.hint
    assert store.runs() == []
    store.write([run()])


def test_a_value_that_no_column_takes_leaves_nothing(store: MetadataStore) -> None:
    with pytest.raises(OverflowError):
        store.write([run(), event(2**70)])
    with pytest.raises(KeyError):
        store.write([run(), "no record"])  # type: ignore[list-item]
    assert store.runs() == []
    store.write([])
    store.write(record for record in (run(), event()))
    assert len(store.events("r")) == 1


def test_texts_that_utf_8_can_not_hold_are_written_readably(store: MetadataStore) -> None:
    torn = msgspec.structs.replace(attempt(), message="no file \udcff\x00 here")
    store.write([run(), torn, event()])
    assert store.attempts("r")[0].message == "no file \\udcff\x00 here"
    assert store.events("r") == [event()]


def test_runs_come_newest_first_and_unfinished_ones_oldest_first(store: MetadataStore) -> None:
    store.write(run(f"r{i}", float(i), "running" if i % 2 else "succeeded") for i in range(6))
    assert [record.run for record in store.runs(limit=4)] == ["r5", "r4", "r3", "r2"]
    assert [record.run for record in store.unfinished_runs()] == ["r1", "r3", "r5"]
    assert store.run("r9") is None


def test_nodes_attempts_and_events_are_of_their_run_and_in_order(store: MetadataStore) -> None:
    store.write([run("r"), run("q")])
    store.write([node("b", position=2 << 32), node("z", position=1), node("q", "q")])
    store.write(
        [attempt("r.b.2", node="b", number=2), attempt("r.b.1", node="b"), attempt("r.z.1", node="z")]
    )
    store.write([event(3), event(1), event(2), event(1, "q")])
    assert [record.node for record in store.nodes("r")] == ["z", "b"]
    assert [record.attempt for record in store.attempts("r", "b")] == ["r.b.1", "r.b.2"]
    assert [record.attempt for record in store.attempts("r")] == ["r.b.1", "r.b.2", "r.z.1"]
    assert store.attempts("r", "none") == store.nodes("none") == store.events("none") == []
    assert [record.sequence for record in store.events("r", after=1)] == [2, 3]


def test_run_counts_name_every_run_that_was_asked_for(store: MetadataStore) -> None:
    store.write([run("r"), run("q"), run("empty")])
    store.write(node(f"n{i}", "r", state="succeeded" if i % 3 else "failed") for i in range(9))
    store.write([node("n", "q")])
    assert store.run_counts(["q", "r", "empty", "none"]) == {
        "r": {"succeeded": 6, "failed": 3},
        "q": {"running": 1},
        "empty": {},
        "none": {},
    }
    assert store.run_counts([]) == {}


def test_memos_are_found_by_key_by_step_and_forgotten(store: MetadataStore) -> None:
    store.write(memo(f"k{i}", "train" if i % 2 else "load", float(i)) for i in range(2500))
    assert len(store.memos(f"k{i}" for i in range(0, 5000, 2))) == 1250
    assert store.memos(["k7", "none", "k7"]) == {"k7": memo("k7", "train", 7.0)}
    assert store.memos([]) == {}
    assert store.latest_memo("train") == memo("k2499", "train", 2499.0)
    assert store.latest_memo("none") is None
    store.forget_memos(["k2499", "none"])
    store.forget_memos([])
    assert store.latest_memo("train") == memo("k2497", "train", 2497.0)


def test_metrics_are_read_by_name_rank_and_step(store: MetadataStore) -> None:
    written = [metric(s, s / 4, name=n, rank=r) for n in ("acc", "loss") for r in (0, 1) for s in (1, 2, 10)]
    store.write(reversed(written))
    store.write([metric(3, name="loss", attempt="service-x")])
    assert store.metrics("r.n.1") == written
    assert store.metrics("r.n.1", "acc") == written[:6]
    assert store.metrics("none") == []


def test_numbers_that_are_none_or_endless_are_kept(store: MetadataStore) -> None:
    store.write([run(), attempt(), metric(1, math.nan), metric(2, math.inf), metric(3, -math.inf)])
    values = [record.value for record in store.metrics("r.n.1")]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_the_latest_metrics_are_those_written_last_of_the_lowest_rank(store: MetadataStore) -> None:
    store.write([run(), attempt("a"), attempt("b", number=2), attempt("c", number=3), run("q")])
    store.write([attempt("other", run="q"), metric(50, attempt="other")])
    store.write([metric(step, step / 100, attempt="a", rank=rank) for step in range(30) for rank in (0, 1)])
    store.write(
        [metric(20, 0.9, name="accuracy", attempt="a"), metric(99, 7.0, name="rate", attempt="a", rank=1)]
    )
    store.write([metric(5, attempt="b")])
    store.write([metric(4, 0.25, attempt="b")])
    assert store.latest_metrics("r") == {
        "a": (9, 99, {"loss": 0.29, "accuracy": 0.9, "rate": 7.0}),
        "b": (0, 4, {"loss": 0.25}),
    }
    assert store.latest_metrics("none") == {}


def test_thinning_keeps_the_first_sample_of_each_interval(store: MetadataStore) -> None:
    times = [float(t) for t in range(100)]
    store.write(sample(t, rank, name) for t in times for rank in (0, 1) for name in ("a", "b"))
    assert store.thin_samples(older_than=50.0, keep_every_seconds=10.0) == 4 * 45
    kept = [record.time for record in store.samples("a") if record.rank == 1]
    assert kept == [0.0, 10.0, 20.0, 30.0, 40.0, *times[50:]]
    assert store.thin_samples(older_than=50.0, keep_every_seconds=10.0) == 0


def test_samples_come_in_the_order_of_time(store: MetadataStore) -> None:
    store.write([sample(2.0, 1), sample(1.0, 1), sample(1.0, 0)])
    assert [(record.time, record.rank) for record in store.samples("r.n.1")] == [(1.0, 0), (1.0, 1), (2.0, 1)]


def test_services_are_listed_oldest_first_and_deleted(store: MetadataStore) -> None:
    store.write([service("b", created_at=2.0), service("a", created_at=3.0), service("c", created_at=1.0)])
    store.delete_service("b")
    store.delete_service("none")
    assert [record.service for record in store.services()] == ["c", "a"]


names = st.sampled_from(["a", "b", "c"])
node_records = st.builds(
    lambda name, position, text, blob, upstream: NodeRecord(
        "r", name, position, text, "step", text, reason=text, output=blob, upstream=tuple(upstream)
    ),
    names,
    st.integers(-(2**63), 2**63 - 1),
    st.text(),
    st.none() | st.binary(),
    st.lists(st.text()),
)


@given(st.lists(st.lists(node_records)))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_transactions_leave_the_last_record_of_each_key(
    store: MetadataStore, transactions: list[list[NodeRecord]]
) -> None:
    store.write([run()])
    expected = {record.node: record for record in store.nodes("r")}
    for records in transactions:
        store.write(records)
        expected |= {record.node: record for record in records}
        assert {record.node: record for record in store.nodes("r")} == expected


def test_many_threads_write_and_read_at_once(store: MetadataStore) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            store.write([run(name)])
            for number in range(1, 101):
                store.write([event(number, name), node(f"n{number}", name, number)])
                counted = store.run_counts([name])[name]["running"]
                assert (counted, len(store.events(name))) == (number, number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"r{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.runs()) == 6


def test_a_reader_never_holds_up_a_commit(store: MetadataStore, path: Path) -> None:
    store.write([run(), *(event(i) for i in range(1, 200))])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (199,)
    store.write([event(200)])
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (199,)
    reader.close()
    assert len(store.events("r")) == 200


def test_the_reads_use_indexes(store: MetadataStore) -> None:
    statements = {name: value for name, value in vars(queries).items() if isinstance(value, queries.Select)}
    plans = {}
    with store._engine.connect() as connection:
        for name, query in statements.items():
            compiled = sqlite.compiled(query)
            values = tuple(1 for _ in compiled.names)
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled.text}", values).fetchall()
            plans[name] = " | ".join(row[3] for row in rows)
    # Services and tokens are few, and all of them are wanted.
    assert {name for name, plan in plans.items() if "SCAN" in plan} <= {"SERVICES", "TOKENS", "RUNS"}
    assert "USING INDEX ix_runs_created_at" in plans["RUNS"]
    assert not {name for name in ("LATEST_MEMO", "RUN", "METRICS") if "TEMP B-TREE FOR ORDER" in plans[name]}


def test_opening_loads_no_alembic(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from argosy.metadata.store import MetadataStore;"
        "MetadataStore.open(pathlib.Path(sys.argv[1])).close(); assert 'alembic' not in sys.modules"
    )
    for _ in ("new", "existing"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "argosy.db")], check=True)
