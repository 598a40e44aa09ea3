"""What an import is remembered by, and which artifact is meant."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.clock import ManualClock
from argosy.control.importing import Described, Importer, ModelFiles, StoredModel, look_at, write_whole
from argosy.errors import InvalidRequest, NotFound
from argosy.home import Home
from argosy.metadata.records import ArtifactRecord
from argosy.metadata.store import MetadataStore
from argosy.serve.deployment import ModelReference

from .models import make_model


class Tasks:
    """Imports as the process would, here, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    async def run(
        self, kind: str, module: str, function: str, payload: object, seconds: float, say: object
    ) -> None:
        from argosy.serve.models.importing import main

        self.count += 1
        assert isinstance(payload, dict)
        main(payload)


class World:
    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.home.work.mkdir(parents=True)
        self.store, self.tasks = MetadataStore.open(self.home.database), Tasks()
        self.importer = Importer(self.home, self.store, self.tasks, ManualClock())  # type: ignore[arg-type]

    def take(self, source: StoredModel | ModelFiles, described: Described | None = None) -> ModelReference:
        return asyncio.run(self.importer.take(source, described or Described()))

    def find(self, text: str) -> StoredModel | ModelFiles:
        return asyncio.run(self.importer.find(text))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_the_same_files_are_imported_once_and_others_again(world: World, tmp_path: Path) -> None:
    first = world.take(look_at(make_model(tmp_path / "one", 1)))
    assert world.take(look_at(tmp_path / "one")) == first
    assert world.tasks.count == 1
    named = world.take(look_at(tmp_path / "one"), Described(labels=tuple("abcdefghij")))
    assert named.reference != first.reference
    make_model(tmp_path / "one", 2)
    assert world.take(look_at(tmp_path / "one")).reference not in (first.reference, named.reference)
    assert world.tasks.count == 3
    assert not list((world.home.work / "imports").iterdir())


def test_a_memory_that_is_damaged_or_names_what_is_gone_is_not_trusted(world: World, tmp_path: Path) -> None:
    source = look_at(make_model(tmp_path / "one", 1))
    first = world.take(source)
    memory = world.home.root / "imports.json"
    memory.write_text(memory.read_text().replace(first.reference.digest, "0" * 64))
    assert world.take(source) == first
    memory.write_bytes(b"{")
    assert world.take(source) == first
    assert world.tasks.count == 3


def test_an_imported_model_can_be_named_by_the_beginning_of_its_digest(world: World, tmp_path: Path) -> None:
    model = world.take(look_at(make_model(tmp_path / "one", 1)))
    found = world.find(f"artifact:{model.reference.digest[:8]}")
    assert found == StoredModel("linear", model.reference)
    assert world.take(found) == model


def test_a_digest_that_means_none_or_several_is_refused(world: World) -> None:
    records = [ArtifactRecord(f"ab{number}" + "0" * 61, "model", 1, 1.0) for number in range(3)]
    world.store.write([*records, ArtifactRecord("cd" * 32, "dataset", 1, 1.0)])
    with pytest.raises(InvalidRequest, match="may be any of ab00"):
        world.find("artifact:ab")
    for text in ("artifact:cd", "artifact:ef", "artifact:%", "artifact:AB"):
        with pytest.raises(NotFound, match="no model artifact"):
            world.find(text)


def test_what_lies_beside_a_file_counts_too(world: World, tmp_path: Path) -> None:
    make_model(tmp_path / "one", 1)
    file = (tmp_path / "one" / "model.onnx").rename(tmp_path / "digits.onnx")
    first = world.take(look_at(file))
    assert first.name == "digits"
    assert (world.take(look_at(file)), world.tasks.count) == (first, 1)
    (tmp_path / "digits.labels.txt").write_text("\n".join(f"class {number}" for number in range(10)))
    world.take(look_at(file))
    assert world.tasks.count == 2


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    write_whole(file, b"old")
    file.with_name(".kept.json.new").mkdir()
    with pytest.raises(OSError):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
