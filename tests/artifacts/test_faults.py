"""What the disk does to a store: altered bytes, no space, no permission, many writers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.artifacts.handles import FileTree, Model
from argosy.artifacts.reference import ArtifactReference, Stored
from argosy.artifacts.store import ArtifactStore
from argosy.errors import CorruptArtifact, InvalidRequest, Unavailable

from .disks import files_of_at_most, fill, permissions_that_count, read_only, small_disk

TYPES = ("json", "bytes", "numpy", "pickle", "model")


def make(store: ArtifactStore, scratch: Path, type: str) -> ArtifactReference:
    folder = scratch / "m"
    (folder / "part").mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(b"weights" * 10)
    (folder / "part" / "labels.json").write_bytes(b"[]")
    values = {
        "json": {"a": [1, 2, 3]},
        "bytes": b"0123456789",
        "numpy": numpy.arange(7),
        "pickle": {1, 2},
        "model": Model(folder, "cnn", {"a": 1}),
    }
    value = store.put(values[type], type)
    assert isinstance(value, Stored)
    return value.reference


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("objects/**/*") if path.is_file())


@pytest.mark.parametrize("type", TYPES)
@given(data=st.data())
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_one_changed_bit_or_a_lost_end_in_any_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, type: str, data: st.DataObject
) -> None:
    base = tmp_path_factory.mktemp("s")
    reference = make(ArtifactStore(base / "artifacts", scratch=base), base, type)
    file = data.draw(st.sampled_from(files_of(base / "artifacts")))
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        bit = data.draw(st.integers(0, len(content) * 8 - 1))
        content[bit // 8] ^= 1 << bit % 8
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    file.chmod(0o600)
    file.write_bytes(content)
    for read in (lambda store: store.verify(reference), lambda store: store.get(Stored(reference))):
        with pytest.raises(CorruptArtifact) as caught:
            read(ArtifactStore(base / "artifacts"))
        assert reference.digest[:12] in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize("type", TYPES)
def test_a_corrupt_object_is_set_aside_so_that_its_producer_mends_it(
    store: ArtifactStore, root: Path, scratch: Path, type: str
) -> None:
    reference = make(store, scratch, type)
    file = files_of(root)[0]
    file.chmod(0o600)
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(CorruptArtifact, match=r"sha256 of .* expected"):
        ArtifactStore(root).get(Stored(reference))
    assert not store.exists(reference)
    assert len(list(root.glob("corrupt/*"))) == 1
    assert make(store, scratch, type) == reference
    ArtifactStore(root).get(Stored(reference))


def test_a_truncated_file_counts_as_absent_and_is_replaced(store: ArtifactStore, root: Path) -> None:
    reference = make(store, root, "bytes")
    path = store.path(reference)
    path.chmod(0o600)
    path.write_bytes(b"012")
    assert not store.exists(reference)
    assert make(store, root, "bytes") == reference
    assert store.get(Stored(reference)) == b"0123456789"


def test_a_missing_or_an_added_file_of_a_tree_is_named(
    store: ArtifactStore, root: Path, scratch: Path
) -> None:
    reference = make(store, scratch, "model")
    (store.path(reference) / "part" / "labels.json").unlink()
    with pytest.raises(CorruptArtifact, match=r"'part/labels\.json'.* is missing"):
        store.verify(reference)
    reference = make(store, scratch, "model")
    (store.path(reference) / "part" / "new").symlink_to("/etc")
    with pytest.raises(CorruptArtifact, match="'part/new'"):
        store.verify(reference)


def test_a_tree_is_hashed_once_in_a_process(store: ArtifactStore, root: Path, scratch: Path) -> None:
    reference = make(store, scratch, "model")
    reader = ArtifactStore(root)
    reader.get(Stored(reference))
    weights = store.path(reference) / "model.onnx"
    weights.chmod(0o600)
    weights.write_bytes(bytes(70))
    reader.get(Stored(reference))
    with pytest.raises(CorruptArtifact, match=r"model\.onnx"):
        reader.verify(reference)


def left_over(root: Path) -> list[Path]:
    return [path for name in ("tmp", "corrupt") for path in root.glob(f"{name}/*")] + files_of(root)


def big_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "small").write_bytes(b"x")
    (folder / "large").write_bytes(bytes(2_000_000))
    return folder


@pytest.mark.parametrize("type", ["bytes", "numpy", "tree"])
def test_a_file_that_may_not_grow_leaves_nothing(root: Path, tmp_path: Path, type: str) -> None:
    values = {
        "bytes": os.urandom(2_000_000),
        "numpy": numpy.arange(300_000),
        "tree": FileTree(big_folder(tmp_path / "big")),
    }
    store = ArtifactStore(root)
    with files_of_at_most(1_000_000), pytest.raises(Unavailable, match="is full") as caught:
        store.put(values[type], type)
    assert "ARGOSY_HOME" in caught.value.hint
    assert left_over(root) == []
    store.get(store.put(values[type], type))


@pytest.mark.parametrize("type", ["json", "bytes", "numpy", "tree"])
def test_a_full_disk_leaves_nothing_and_works_again_with_space(tmp_path: Path, type: str) -> None:
    values = {
        "json": "x" * 500_000,
        "bytes": os.urandom(500_000),
        "numpy": numpy.arange(60_000),
        "tree": FileTree(big_folder(tmp_path / "big")),
    }
    disk = tmp_path / "disk"
    root = disk / "artifacts"
    store = ArtifactStore(root)
    with small_disk(disk, "4m") as mounted:
        store.put(1, "json")
        before = left_over(root)
        if mounted:
            filler = fill(disk, leave=100_000)
            with pytest.raises(Unavailable, match="is full") as caught:
                store.put(values[type], type)
            filler.unlink()
        else:
            with files_of_at_most(100_000), pytest.raises(Unavailable, match="is full") as caught:
                store.put(values[type], type)
        assert caught.value.hint
        assert left_over(root) == before
        store.get(store.put(values[type], type))


def test_a_failed_move_leaves_the_folder_where_it_was(
    store: ArtifactStore, root: Path, scratch: Path
) -> None:
    store.put(1, "json")
    tree = FileTree(big_folder(scratch / "big"))
    with read_only(root / "objects"), pytest.raises(Unavailable):
        store.put(tree, "tree")
    assert sorted(path.name for path in tree.path.iterdir()) == ["large", "small"]
    assert list(root.glob("tmp/*")) == []
    store.get(store.put(tree, "tree"))
    assert not (scratch / "big").exists()


@pytest.mark.parametrize("made", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("type", ["json", "numpy", "tree"])
def test_a_read_only_root_is_unavailable_with_a_hint(tmp_path: Path, made: bool, type: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    store = ArtifactStore(home / "artifacts")
    if made:
        store.put(1, "json")
    values = {"json": 2, "numpy": numpy.arange(3), "tree": FileTree(big_folder(tmp_path / "big"))}
    with read_only(home / "artifacts" / "tmp" if made else home):
        with pytest.raises(Unavailable, match="can not be written") as caught:
            store.put(values[type], type)
        assert "permission" in caught.value.hint
    store.get(store.put(values[type], type))


def test_a_file_of_the_step_that_can_not_be_read_is_its_own_fault(
    store: ArtifactStore, tmp_path: Path
) -> None:
    folder = big_folder(tmp_path / "big")
    (folder / "small").chmod(0)
    with permissions_that_count(), pytest.raises(InvalidRequest, match="small can not be stored"):
        store.put(FileTree(folder), "tree")


def write_everything(root: Path, work: Path, number: int, go: object) -> None:
    store = ArtifactStore(root, scratch=work)
    go.wait()  # type: ignore[attr-defined]
    for index in range(20):
        store.put({"index": index}, "json")
        store.put(numpy.arange(index), "numpy")
        folder = work / f"{number}-{index}"
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "file").write_text(str(index))
        store.put(FileTree(folder), "tree")


def test_many_processes_may_store_the_same_at_once(root: Path, scratch: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go = context.Barrier(4)
    writers = [context.Process(target=write_everything, args=(root, scratch, n, go)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert list(root.glob("tmp/*")) == []
    assert len(list(root.glob("objects/*/*"))) == 60
    store = ArtifactStore(root)
    for path in root.glob("objects/*/*"):
        digest, _, kind = path.name.partition(".")
        store.verify(ArtifactReference(digest, "tree" if kind else "bytes", 0))


KILLED = """
import os, pathlib, sys
from argosy.artifacts.handles import FileTree
from argosy.artifacts.store import ArtifactStore
root, work = map(pathlib.Path, sys.argv[1:])
store = ArtifactStore(root, scratch=work)
for index in range(10**9):
    store.put(str(index) * 50_000, "json")
    (work / str(index)).mkdir()
    (work / str(index) / "file").write_text(str(index) * 50_000)
    store.put(FileTree(work / str(index)), "tree")
    if index == 1:
        print("going", flush=True)
"""


@pytest.mark.parametrize("wait", [0, 1, 2, 3, 4])
def test_a_killed_writer_leaves_only_whole_objects(root: Path, scratch: Path, wait: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root), str(scratch)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"going\n"
        target = len(files_of(root)) + 7 * wait
        while len(files_of(root)) < target:
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
    store = ArtifactStore(root)
    for path in root.glob("objects/*/*"):
        digest, _, kind = path.name.partition(".")
        store.verify(ArtifactReference(digest, "tree" if kind else "json", 0))
    assert store.sweep() == 0
    store.sweep(older_than_seconds=-10)
    assert list(root.glob("tmp/*")) == []
