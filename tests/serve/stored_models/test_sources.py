"""What a user hands in: its kind, its versions, and the reason for everything that does not count."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.clock import ManualClock
from argosy.errors import InvalidInput, NotFound
from argosy.serve.models.importing import ModelKind, ModelSource, inspect

from . import onnx_models

# A field of the number 1 and, of a graph, what restores its variables (fields 2 and 3).
GRAPH_WITH_VARIABLES = b"\x08\x01\x12\x04\x1a\x02\x08\x01"
GRAPH_WITHOUT_VARIABLES = b"\x08\x01\x12\x02\x08\x01"


def look(path: Path, seconds_later: float = 60) -> ModelSource:
    """As it is seen a minute after the files were written, and at once."""
    return inspect(path, patience_seconds=0, clock=ManualClock(time.time() + seconds_later))


def refusal(path: Path, seconds_later: float = 60) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        look(path, seconds_later)
    assert caught.value.hint
    return caught.value


def saved_model(folder: Path, graph: bytes = GRAPH_WITH_VARIABLES, shards: int = 1) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(graph)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    for shard in range(shards):
        (folder / "variables" / f"variables.data-{shard:05}-of-{shards:05}").write_bytes(b"data")
    return folder


def keras_file(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", "weights" * 100)
    return file


KINDS: dict[ModelKind, Callable[[Path], Path]] = {
    ModelKind.ARGOSY: lambda path: onnx_models.classifier(path / "model"),
    ModelKind.SAVED_MODEL: lambda path: saved_model(path / "model"),
    ModelKind.ONNX: lambda path: onnx_models.doubling(path / "any name.onnx"),
    ModelKind.KERAS: lambda path: keras_file(path / "model.keras"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_recognised(tmp_path: Path, kind: ModelKind) -> None:
    path = KINDS[kind](tmp_path)
    source = look(path, seconds_later=0)
    assert source.kind == kind
    assert [(one.number, one.kind, one.path) for one in source.versions] == [(0, kind, str(path))]
    assert source.newest.fingerprint


def test_a_folder_with_one_model_file_is_that_file(tmp_path: Path) -> None:
    file = onnx_models.doubling(tmp_path / "some.onnx")
    (tmp_path / "notes.txt").write_text("notes")
    assert look(tmp_path).newest.path == str(file)
    keras_file(tmp_path / "other.keras")
    assert "several models (other.keras, some.onnx)" in refusal(tmp_path).message


def test_a_file_beside_numbered_versions_is_passed_over(tmp_path: Path) -> None:
    saved_model(tmp_path / "1")
    onnx_models.doubling(tmp_path / "old.onnx")
    assert look(tmp_path).newest.path == str(tmp_path / "1")


def test_a_file_that_was_written_by_a_clock_ahead_of_ours_is_still_being_written(tmp_path: Path) -> None:
    saved_model(tmp_path / "1")
    assert "(a file changed 0.0 s ago)" in refusal(tmp_path, seconds_later=-10).message
    assert look(tmp_path, seconds_later=-100).newest.number == 1


def test_versions_are_ordered_by_number_and_other_names_are_passed_over(tmp_path: Path) -> None:
    saved_model(tmp_path / "10")
    onnx_models.classifier(tmp_path / "2")
    onnx_models.doubling(tmp_path / "1" / "model.onnx")
    keras_file(tmp_path / "3" / "anything.keras")
    saved_model(tmp_path / "latest")
    saved_model(tmp_path / ".11")
    (tmp_path / "12").write_text("a file")
    source = look(tmp_path)
    assert source.kind == ModelKind.VERSIONS
    assert [(one.number, one.kind) for one in source.versions] == [
        (1, ModelKind.ARGOSY), (2, ModelKind.ARGOSY), (3, ModelKind.KERAS), (10, ModelKind.SAVED_MODEL),
    ]  # fmt: skip
    assert source.newest.number == 10
    assert source.version(0) == source.newest
    assert source.version(2).path == str(tmp_path / "2")
    assert not source.refused
    with pytest.raises(NotFound, match="no version 4") as caught:
        source.version(4)
    assert "1, 2, 3, 10" in caught.value.hint


def without_index(folder: Path) -> None:
    (folder / "variables" / "variables.index").unlink()


def without_a_shard(folder: Path) -> None:
    (folder / "variables" / "variables.data-00001-of-00003").unlink()


def without_graph(folder: Path) -> None:
    (folder / "saved_model.pb").unlink()


def with_half_a_graph(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(GRAPH_WITH_VARIABLES[:-1])


def with_an_empty_graph(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"")


BROKEN = [
    (without_index, "variables/variables.index is not there"),
    (without_a_shard, "1 of its 3 files variables/variables.data-* are not there"),
    (without_graph, "it holds variables; expected saved_model.pb"),
    (with_half_a_graph, "saved_model.pb is damaged: it is cut short: 1 bytes are missing"),
    (with_an_empty_graph, "saved_model.pb is damaged: it is empty"),
]


@pytest.mark.parametrize(("damage", "reason"), BROKEN, ids=[damage.__name__ for damage, _ in BROKEN])
def test_a_broken_version_beside_good_ones_does_not_count(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    saved_model(tmp_path / "1")
    damage(saved_model(tmp_path / "2", shards=3))
    source = look(tmp_path)
    assert [one.number for one in source.versions] == [1]
    assert [one.number for one in source.refused] == [2]
    assert reason in source.refused[0].reason
    assert not source.refused[0].changing
    with pytest.raises(InvalidInput, match=r"version 2 of .* can not be served"):
        source.version(2)


@pytest.mark.parametrize(("damage", "reason"), BROKEN, ids=[damage.__name__ for damage, _ in BROKEN])
def test_a_folder_whose_only_version_is_broken_is_refused_with_the_reason(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(saved_model(tmp_path / "7", shards=3))
    error = refusal(tmp_path)
    assert "no version that can be served" in error.message
    assert reason in error.context["refused"]["7"]


def test_a_graph_without_variables_needs_none(tmp_path: Path) -> None:
    without_index(saved_model(tmp_path / "1", GRAPH_WITHOUT_VARIABLES))
    assert look(tmp_path).newest.number == 1


def test_numbers_that_are_no_versions_are_refused_with_the_reason(tmp_path: Path) -> None:
    for name in ("0", "01", "1", "2"):
        saved_model(tmp_path / name)
    source = look(tmp_path)
    assert [Path(one.path).name for one in source.versions] == ["01", "2"]
    assert [one.reason for one in source.refused] == ["versions count from 1", "01 is version 1 already"]


def test_a_version_that_is_being_written_does_not_count_yet(tmp_path: Path) -> None:
    saved_model(tmp_path / "1")
    settled = look(tmp_path)
    assert settled.newest.number == 1
    error = refusal(tmp_path, seconds_later=0.5)
    assert "it is still being written (a file changed 0." in error.message
    assert error.hint == "wait until it is copied"


def test_an_inspection_waits_for_the_only_version_to_settle(tmp_path: Path) -> None:
    saved_model(tmp_path / "1")
    assert inspect(tmp_path, patience_seconds=30).newest.number == 1


def test_the_fingerprint_is_another_one_when_a_file_changes(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "1")
    before = look(tmp_path).newest.fingerprint
    assert look(tmp_path).newest.fingerprint == before
    os.utime(folder / "saved_model.pb", ns=(1, 1))
    touched = look(tmp_path).newest.fingerprint
    assert touched != before
    (folder / "assets").mkdir()
    (folder / "assets" / "labels.txt").write_text("a")
    assert look(tmp_path).newest.fingerprint != touched


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} is empty; expected a model directory" in refusal(tmp_path).message


def test_a_folder_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1")
    (tmp_path / "photos").mkdir()
    assert "holds data.csv, photos and no model" in refusal(tmp_path).message


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere").message


@pytest.mark.parametrize("name", ["model.h5", "model.pt", "model.tflite", "saved_model.pb", "model"])
def test_a_file_of_another_kind_is_refused_with_the_mend(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    assert "a file of another kind" in refusal(tmp_path / name).message


def test_a_device_is_no_model() -> None:
    assert "is not a file or a folder" in refusal(Path("/dev/null")).message


@pytest.mark.parametrize("keep", [0, 1, -1])
def test_a_truncated_onnx_file_is_refused(tmp_path: Path, keep: int) -> None:
    file = onnx_models.doubling(tmp_path / "model.onnx")
    file.write_bytes(file.read_bytes()[:keep])
    assert "model.onnx is damaged" in refusal(file).message


def test_a_text_that_is_called_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("this is not a model at all, but a text that is long enough")
    assert "model.onnx is damaged" in refusal(tmp_path / "model.onnx").message


def test_a_truncated_keras_file_is_refused(tmp_path: Path) -> None:
    file = keras_file(tmp_path / "model.keras")
    file.write_bytes(file.read_bytes()[:-30])
    assert "not a whole Keras archive" in refusal(file).message


def test_another_archive_that_is_called_keras_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "it holds no config.json" in refusal(tmp_path / "model.keras").message


def test_a_link_that_leads_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to(tmp_path / "model.onnx")
    refusal(tmp_path / "model.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "model")
    folder.chmod(0)
    try:
        assert "Permission denied" in refusal(folder).message
    finally:
        folder.chmod(0o700)
