"""Folders as artifacts: moved or copied in, complete, read-only, and only what a folder may hold."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from argosy.artifacts.handles import CARD, Dataset, FileTree, Model
from argosy.artifacts.reference import ArtifactReference, Stored
from argosy.artifacts.store import ArtifactStore
from argosy.artifacts.trees import FileEntry, Manifest, UnsafeManifest, decode_manifest
from argosy.errors import InvalidInput, InvalidRequest


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else "/"
        for path in sorted(folder.rglob("*"))
    }


def put(store: ArtifactStore, tree: FileTree) -> ArtifactReference:
    value = store.put(tree, tree.artifact_type)
    assert isinstance(value, Stored)
    return value.reference


FILES = {"a.txt": "a", "deep/er/b.txt": "b", "ü 𝄞\n.txt": "", "deep/c": "c"}


def test_a_tree_comes_back_with_every_file_and_empty_folder(store: ArtifactStore, scratch: Path) -> None:
    folder = make(scratch / "out", FILES)
    (folder / "empty" / "inner").mkdir(parents=True)
    before = contents(folder)
    reference = put(store, FileTree(folder))
    read = store.get(Stored(reference))
    assert isinstance(read, FileTree)
    assert contents(read.path) == before
    assert read.path == store.path(reference)
    assert read.digest == reference.digest
    assert reference.size == sum(len(text.encode()) for text in FILES.values())


def test_a_folder_in_scratch_is_moved_and_one_elsewhere_is_copied(
    store: ArtifactStore, scratch: Path, tmp_path: Path
) -> None:
    mine, other = make(scratch / "mine", FILES), make(tmp_path / "other", FILES | {"x": "y"})
    inode = (mine / "a.txt").stat().st_ino
    moved, copied = FileTree(mine), FileTree(other)
    put(store, moved)
    put(store, copied)
    assert not mine.exists()
    assert (moved.path / "a.txt").stat().st_ino == inode
    assert contents(other) == contents(copied.path)
    assert other.exists()
    assert os.access(other / "a.txt", os.W_OK)


def test_equal_trees_are_one_object_moved_or_copied(
    store: ArtifactStore, scratch: Path, tmp_path: Path, root: Path
) -> None:
    digests = {
        put(store, FileTree(make(folder, FILES))).digest
        for folder in (scratch / "one", tmp_path / "two", scratch / "three")
    }
    assert len(digests) == 1
    assert len(list(root.glob("objects/*/*.d"))) == 1
    assert list(root.glob("tmp/*")) == []


def test_files_are_read_only_and_keep_the_executable_bit(store: ArtifactStore, scratch: Path) -> None:
    folder = make(scratch / "out", {"run.sh": "#!", "data": "x"})
    (folder / "run.sh").chmod(0o700)
    (folder / "data").chmod(0o666)
    tree = FileTree(folder)
    reference = put(store, tree)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tree.path.iterdir()}
    assert modes == {"run.sh": 0o555, "data": 0o444}
    plain = make(scratch / "plain", {"run.sh": "#!", "data": "x"})
    assert put(store, FileTree(plain)).digest != reference.digest


def test_the_scratch_folder_itself_is_copied(store: ArtifactStore, scratch: Path) -> None:
    make(scratch, {"a": "a"})
    put(store, FileTree(scratch))
    assert contents(scratch) == {"a": "a"}


def test_a_file_with_a_second_link_is_copied(store: ArtifactStore, scratch: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("before")
    (scratch / "out").mkdir()
    (scratch / "out" / "linked").hardlink_to(outside)
    tree = FileTree(scratch / "out")
    reference = put(store, tree)
    outside.write_text("after!")
    store.verify(reference)
    assert (tree.path / "linked").read_text() == "before"


@pytest.mark.parametrize("kind", ["symbolic link", "folder link", "socket", "named pipe", "name"])
def test_what_is_neither_file_nor_folder_is_refused_by_name(
    store: ArtifactStore, scratch: Path, root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(scratch / "out", FILES)
    odd = folder / "deep" / "odd"
    if kind == "symbolic link":
        odd.symlink_to("../a.txt")
    elif kind == "folder link":
        odd.symlink_to("/etc")
    elif kind == "socket":
        monkeypatch.chdir(odd.parent)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("odd")
    elif kind == "named pipe":
        os.mkfifo(odd)
    else:
        Path(os.fsdecode(bytes(folder / "deep") + b"/odd\xff")).write_text("x")
    for tree in (FileTree(folder), Model(folder, "m")):
        with pytest.raises(InvalidRequest, match="odd") as caught:
            store.put(tree, "tree")
        assert caught.value.hint
    assert folder.exists()
    assert not list(root.rglob("*.d"))


def test_a_folder_that_is_not_there_is_refused(store: ArtifactStore, scratch: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        store.put(FileTree(scratch / "none"), "tree")
    (scratch / "file").write_text("x")
    with pytest.raises(InvalidRequest, match="is not a folder"):
        store.put(FileTree(scratch / "file"), "tree")


def test_a_stored_handle_is_not_stored_again(store: ArtifactStore, scratch: Path, root: Path) -> None:
    dataset = Dataset(make(scratch / "d", {"a": "a"}))
    first = store.put(dataset, "dataset")
    assert dataset.digest
    read = store.get(first)
    stamp = {path: path.stat().st_ctime_ns for path in root.rglob("*")}
    assert store.put(dataset, "dataset") == store.put(read, "dataset") == first
    assert stamp == {path: path.stat().st_ctime_ns for path in root.rglob("*")}


def test_a_handle_of_another_store_is_stored_in_this_one(
    store: ArtifactStore, scratch: Path, tmp_path: Path
) -> None:
    other = ArtifactStore(tmp_path / "other")
    reference = put(other, FileTree(make(scratch / "d", {"a": "a"})))
    tree = other.get(Stored(reference))
    assert isinstance(tree, FileTree)
    assert put(store, tree) == reference
    assert store.exists(reference)
    store.verify(reference)
    other.verify(reference)


def test_a_model_keeps_its_name_and_metrics(store: ArtifactStore, scratch: Path, tmp_path: Path) -> None:
    model = Model(make(scratch / "m", {"model.onnx": "x"}), "cnn", {"accuracy": 0.91, "loss": 0.3})
    read = store.get(store.put(model, "model"))
    assert isinstance(read, Model)
    assert (read.name, read.metrics) == ("cnn", {"accuracy": 0.91, "loss": 0.3})
    assert read == model
    renamed = Model(read.path, "best")
    again = store.get(store.put(renamed, "model"))
    assert isinstance(again, Model)
    assert (again.name, again.metrics) == ("best", read.metrics)
    assert store.get(Stored(read.reference)).name == "cnn"  # type: ignore[arg-type, attr-defined]
    store.verify(read.reference)  # type: ignore[arg-type]
    assert contents(again.path).keys() == {"model.onnx", CARD}


def test_a_card_in_the_folder_counts_where_nothing_is_given(store: ArtifactStore, scratch: Path) -> None:
    folder = make(scratch / "m", {CARD: '{"name": "cnn", "metrics": {"a": 1}, "labels": ["x"]}'})
    model = store.get(store.put(Model(folder, metrics={"a": 2}), "model"))
    assert isinstance(model, Model)
    assert (model.name, model.metrics, model.card()["labels"]) == ("cnn", {"a": 2}, ["x"])


def test_a_metric_that_json_does_not_have_is_refused_by_name(store: ArtifactStore, scratch: Path) -> None:
    model = Model(make(scratch / "m", {"x": "x"}), "cnn", {"loss": float("nan")})
    with pytest.raises(InvalidRequest, match=r'argosy.json\["metrics"\]\["loss"\] is nan'):
        store.put(model, "model")


def test_a_card_that_is_none_is_refused(scratch: Path) -> None:
    for text in ("{", "[]", '{"metrics": 3}'):
        make(scratch, {CARD: text})
        with pytest.raises(InvalidInput, match=CARD):
            _ = Model(scratch).name


def test_two_results_may_share_a_folder_or_lie_in_one_another(store: ArtifactStore, scratch: Path) -> None:
    folder = make(scratch / "m", {"model.onnx": "x", "inner/y": "y"})
    first, second, inner = Model(folder, "one"), Model(folder, "two"), FileTree(folder / "inner")
    models = store.get(store.put([first, second], "list[model]"))
    assert [model.name for model in models] == ["one", "two"]  # type: ignore[attr-defined]
    assert contents(store.get(store.put(inner, "tree")).path) == {"y": "y"}  # type: ignore[attr-defined]
    for model in models:  # type: ignore[attr-defined]
        store.verify(model.reference)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b", ".", ""])
def test_a_manifest_that_leaves_its_tree_is_refused(path: str) -> None:
    for manifest in (Manifest((FileEntry(path, 1, False, "0" * 64),)), Manifest((), (path,))):
        with pytest.raises(UnsafeManifest):
            decode_manifest(manifest.encode())
    with pytest.raises(UnsafeManifest):
        decode_manifest(b"{}")


def test_handles_are_equal_by_content_once_stored(store: ArtifactStore, scratch: Path) -> None:
    one, two = FileTree(make(scratch / "1", {"a": "a"})), FileTree(make(scratch / "2", {"a": "a"}))
    assert one != two
    put(store, one)
    put(store, two)
    assert one == two
    assert len({one, two}) == 1
    assert one != Dataset(one.path, reference=one.reference)
    assert one.digest[:12] in repr(one)
