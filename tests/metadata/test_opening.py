"""A database is made, migrated or refused: nothing is changed that is not understood."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from argosy.errors import ArgosyError, Conflict, InvalidInput, Unavailable
from argosy.metadata import queries, schema, sqlite
from argosy.metadata.migrations import migrating
from argosy.metadata.store import MetadataStore

from ..artifacts.disks import files_of_at_most  # noqa: TID252
from .building import everything, one_of_each


def schema_of(path: Path) -> dict[tuple[str, str], str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    connection.close()
    return {(type, name): " ".join((sql or "").split()) for type, name, sql in rows}


def migrated(path: Path, folder: Path = migrating.FOLDER, revision: str = "head") -> Path:
    """A database made by the migrations alone."""
    connection = sqlite.connect(path)
    sqlite.use_write_ahead_log(connection)
    config = migrating.configuration(folder)
    with sqlite.schema_change(connection) as bound:
        config.attributes["connection"] = bound
        command.upgrade(config, revision)
    connection.close()
    return path


def test_a_new_database_and_the_migrations_have_the_same_schema(path: Path, tmp_path: Path) -> None:
    MetadataStore.open(path).close()
    made = schema_of(path)
    assert made == schema_of(migrated(tmp_path / "migrated.db"))
    assert len([name for kind, name in made if kind == "table"]) == len(schema.metadata.tables) + 1


def test_the_tables_in_code_are_those_of_the_newest_migration(tmp_path: Path) -> None:
    connection = sqlite.connect(migrated(tmp_path / "migrated.db"))
    with sqlite.schema_change(connection) as bound:
        context = MigrationContext.configure(bound, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION
    connection.close()
    assert ScriptDirectory.from_config(migrating.configuration()).get_current_head() == schema.REVISION


def test_a_new_home_is_in_wal_mode_and_flushes_at_checkpoints(path: Path) -> None:
    MetadataStore.open(path).close()
    connection = sqlite.connect(path)
    settings = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    ]
    connection.close()
    assert settings == ["wal", 1, 1, 5000]


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    store = MetadataStore.open(path)
    store.write(one_of_each())
    assert everything(store) == one_of_each()
    store.close()


def test_a_home_of_the_first_schema_is_brought_to_this_one_with_its_rows(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    migrated(path, revision="0001")
    connection = sqlite.connect(path)
    connection.execute("INSERT INTO runs VALUES ('r','w','running',1.0,x'',NULL,'','',NULL)")
    connection.close()
    store = MetadataStore.open(path)
    assert [run.run for run in store.runs()] == ["r"]
    store.write(one_of_each())
    assert everything(store) == one_of_each()
    store.close()
    assert schema_of(path) == schema_of(migrated(tmp_path / "migrated.db"))


NEWEST = schema.REVISION
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    {body}
"""


@pytest.fixture
def newer_argosy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Migrations of an Argosy whose runs have a ``note``."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrating.FOLDER, folder)
    body = (
        "with op.batch_alter_table('runs', recreate='always') as batch:\n"
        "        batch.add_column(sa.Column('note', sa.String(), nullable=False, server_default='none'))"
    )
    text = NEXT.format(revision="9999", before=schema.REVISION, body=body)
    (folder / "versions" / "9999_notes.py").write_text(text)
    monkeypatch.setattr(schema, "REVISION", "9999")
    monkeypatch.setattr(migrating.migrate, "__defaults__", (folder,))
    return folder


def test_an_older_database_is_migrated_with_its_rows_and_a_copy_is_kept(
    path: Path, request: pytest.FixtureRequest
) -> None:
    store = MetadataStore.open(path)
    store.write(one_of_each())
    store.close()
    before = schema_of(path)
    older = schema.REVISION
    request.getfixturevalue("newer_argosy")
    MetadataStore.open(path).close()
    connection = sqlite.connect(path)
    assert connection.execute("SELECT run, note FROM runs").fetchall() == [("r", "none")]
    assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()
    copy = path.with_name(f"argosy.db.before-{older}")
    assert schema_of(copy) == before
    assert not path.with_name(copy.name + ".part").exists()


def test_a_migration_that_fails_leaves_the_database_as_it_was(path: Path, newer_argosy: Path) -> None:
    path.parent.mkdir()
    migrated(path, revision="0001")
    body = "op.drop_table('samples')\n    op.execute('INSERT INTO nonsense VALUES (1)')"
    text = NEXT.format(revision="9999", before=NEWEST, body=body)
    (newer_argosy / "versions" / "9999_notes.py").write_text(text)
    before = schema_of(path)
    with pytest.raises(ArgosyError, match=r"could not be migrated.*nonsense") as caught:
        MetadataStore.open(path)
    assert "before-0001" in caught.value.hint
    assert schema_of(path) == before


def test_a_disk_too_full_for_the_copy_refuses_to_migrate(path: Path, newer_argosy: Path) -> None:
    path.parent.mkdir()
    migrated(path, revision="0001")
    before = schema_of(path)
    with files_of_at_most(20_000), pytest.raises(Unavailable) as caught:
        MetadataStore.open(path)
    assert caught.value.hint
    assert schema_of(path) == before
    assert list(path.parent.glob("*.before-*")) == []
    MetadataStore.open(path).close()


def test_a_migration_that_orphans_rows_is_undone(path: Path, newer_argosy: Path) -> None:
    path.parent.mkdir()
    migrated(path, revision="0001")
    connection = sqlite.connect(path)
    connection.execute("INSERT INTO runs VALUES ('r','w','running',1.0,x'',NULL,'','',NULL)")
    connection.execute("INSERT INTO events VALUES ('r',1,1.0,'k',x'')")
    connection.close()
    text = NEXT.format(revision="9999", before=NEWEST, body="op.execute('DELETE FROM runs')")
    (newer_argosy / "versions" / "9999_notes.py").write_text(text)
    with pytest.raises(ArgosyError, match="without their parent"):
        MetadataStore.open(path)
    connection = sqlite.connect(path)
    assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    connection.close()


def test_a_home_of_a_newer_argosy_is_refused_and_not_touched(path: Path) -> None:
    MetadataStore.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '4711'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Conflict, match="home written by a newer Argosy") as caught:
        MetadataStore.open(path)
    assert caught.value.context["found"] == "4711"
    assert caught.value.context["known"] == schema.REVISION
    assert "4711" in caught.value.message
    assert schema.REVISION in caught.value.message
    assert "newer Argosy" in caught.value.hint
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"not a database\n" * 100, b"x", b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_is_no_database_is_refused_and_not_touched(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        MetadataStore.open(path)
    assert str(path) in caught.value.message
    assert "move it away" in caught.value.hint
    assert path.read_bytes() == content


def test_somebody_elses_database_is_refused_and_not_touched(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="not one of Argosy's") as caught:
        MetadataStore.open(path)
    assert caught.value.hint
    assert path.read_bytes() == before


def test_a_database_without_a_revision_is_refused(path: Path) -> None:
    MetadataStore.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM alembic_version")
    connection.commit()
    connection.close()
    with pytest.raises(InvalidInput, match="which version"):
        MetadataStore.open(path)


def test_a_folder_in_place_of_the_database_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(Unavailable) as caught:
        MetadataStore.open(path)
    assert caught.value.hint


def test_schema_and_reads_compile_for_postgresql() -> None:
    dialect = postgresql.dialect()
    for table in schema.metadata.sorted_tables:
        assert "ROWID" not in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            CreateIndex(index).compile(dialect=dialect)
    statements = [value for value in vars(queries).values() if isinstance(value, queries.Select)]
    statements += [queries.memos_of(["k"]), queries.run_counts_of(["r"])]
    statements += [queries.audit_of(user="u", service="s"), queries.forget_audit()]
    for statement in (*statements, queries.forget_memo(), queries.delete_service(), queries.thin_samples()):
        assert str(statement.compile(dialect=dialect))
