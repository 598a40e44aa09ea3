"""ONNX files and model directories, imported: what is copied, what is found beside them, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from argosy import reporting
from argosy.errors import ArgosyError, Conflict, InvalidInput
from argosy.serve.models import onnx_data, onnx_names
from argosy.serve.models.importing import main
from argosy.serve.models.loading import load, runtime_of
from argosy.serve.models.model import DEFAULT_SIGNATURE

from . import onnx_models


def bring_in(source: Path, destination: Path, **options: Any) -> dict[str, Any]:
    """The argosy.json of what is imported; nothing else is left."""
    payload = {"source": str(source), "destination": str(destination), "name": "model", **options}
    main(payload)
    assert [one.name for one in destination.parent.iterdir()] == [destination.name]
    card: dict[str, Any] = json.loads((destination / "argosy.json").read_text())
    return card


def refusal(source: Path, destination: Path, **options: Any) -> ArgosyError:
    with pytest.raises(ArgosyError) as caught:
        bring_in(source, destination, **options)
    assert not destination.exists()
    assert not destination.parent.exists() or not list(destination.parent.iterdir())
    return caught.value


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "imported" / "model"


def test_an_onnx_file_becomes_a_model_directory(tmp_path: Path, destination: Path) -> None:
    card = bring_in(onnx_models.doubling(tmp_path / "double.onnx"), destination)
    assert card == {
        "metrics": {}, "name": "model", "runtime": "onnxruntime", "reason": "",
        "source": {"kind": "onnx", "version": 0},
    }  # fmt: skip
    assert sorted(one.name for one in destination.iterdir()) == ["argosy.json", "model.onnx"]
    model = load(destination)
    assert model.run({"x": np.ones((1, 3), np.float32)}, DEFAULT_SIGNATURE)["y"].tolist() == [[2, 2, 2]]
    assert runtime_of(destination) == "onnxruntime"


def test_what_an_import_does_is_reported(tmp_path: Path, destination: Path) -> None:
    told: list[str] = []

    def report(kind: str, body: Any) -> None:
        assert kind == "event"
        told.append(body["message"])

    reporting.install(reporting.CurrentAttempt(report=report))
    try:
        bring_in(onnx_models.doubling(tmp_path / "double.onnx"), destination)
    finally:
        reporting.install(None)
    assert told == [
        f"reading {tmp_path / 'double.onnx'} (onnx)",
        "asking the model for a first answer",
        "model is imported",
    ]


def test_a_model_directory_keeps_what_belongs_to_it_and_nothing_else(
    tmp_path: Path, destination: Path
) -> None:
    source = onnx_models.classifier(tmp_path / "source")
    (source / "training.log").write_text("long")
    card = bring_in(source, destination)
    assert sorted(one.name for one in destination.iterdir()) == [
        "argosy.json", "labels.json", "model.onnx", "preprocessing.json",
    ]  # fmt: skip
    assert card["metrics"] == {"accuracy": 0.5}
    model = load(destination)
    assert model.labels == ("class 0", "class 1", "class 2")
    assert model.preprocessing is not None


def test_the_newest_version_is_imported_or_the_one_that_is_named(tmp_path: Path) -> None:
    for number in ("1", "2", "10"):
        onnx_models.doubling(tmp_path / "versions" / number / "model.onnx")
    assert bring_in(tmp_path / "versions", tmp_path / "a" / "model")["source"]["version"] == 10
    card = bring_in(tmp_path / "versions", tmp_path / "b" / "model", version=2)
    assert card["source"] == {"kind": "argosy", "version": 2}


def test_what_the_user_supplies_counts_before_what_is_found(tmp_path: Path, destination: Path) -> None:
    source = onnx_models.classifier(tmp_path / "source")
    bring_in(source, destination, labels=["a", "b", "c"], preprocessing={"height": 4, "width": 4})
    model = load(destination)
    assert model.labels == ("a", "b", "c")
    assert model.preprocessing is not None
    assert model.preprocessing.scale == 1 / 255


LABELS = [
    ("scores.labels.json", '["a", "b"]'),
    ("scores.labels.txt", "a\nb\n"),
    ("labels.json", '{"1": "b", "0": "a"}'),
    ("labels.txt", "a\n\nb"),
]


@pytest.mark.parametrize(("name", "content"), LABELS, ids=[name for name, _ in LABELS])
def test_labels_beside_a_file_are_found(tmp_path: Path, destination: Path, name: str, content: str) -> None:
    file = onnx_models.flat_images(tmp_path / "scores.onnx")
    (tmp_path / name).write_text(content)
    (tmp_path / "preprocessing.json").write_text('{"kind":"image","height":4,"width":4}')
    bring_in(file, destination)
    assert load(destination).labels == ("a", "b")
    assert load(destination).preprocessing is not None


def test_labels_beside_several_models_are_nobodys(tmp_path: Path, destination: Path) -> None:
    file = onnx_models.flat_images(tmp_path / "scores.onnx")
    onnx_models.doubling(tmp_path / "other.onnx")
    (tmp_path / "labels.json").write_text('["a", "b"]')
    bring_in(file, destination)
    assert load(destination).labels == ()


@pytest.mark.parametrize("folder", ["", "assets", "assets.extra"])
def test_labels_in_a_folder_of_assets_are_found(tmp_path: Path, destination: Path, folder: str) -> None:
    onnx_models.flat_images(tmp_path / "1" / "model.onnx")
    (tmp_path / "1" / folder).mkdir(exist_ok=True)
    (tmp_path / "1" / folder / "labels.txt").write_text("a\nb\n")
    bring_in(tmp_path, destination)
    assert load(destination).labels == ("a", "b")


def test_weights_beside_the_file_come_along(tmp_path: Path, destination: Path) -> None:
    source = onnx_models.with_data_beside(tmp_path / "source" / "large.onnx")
    assert onnx_data.locations(source) == {"weights/ones.bin"}
    bring_in(source, destination)
    shutil.rmtree(tmp_path / "source")
    model = load(destination)
    assert model.run({"x": np.zeros((1, 1000), np.float32)}, DEFAULT_SIGNATURE)["y"].sum() == 1000


def test_weights_that_are_missing_or_lie_elsewhere_are_refused(tmp_path: Path, destination: Path) -> None:
    source = onnx_models.with_data_beside(tmp_path / "source" / "large.onnx")
    (tmp_path / "source" / "weights" / "ones.bin").unlink()
    assert (
        "keeps its weights in 'weights/ones.bin', which is not there" in refusal(source, destination).message
    )
    model = onnx.load(source, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../../etc/passwd"
    source.write_bytes(model.SerializeToString())
    assert "outside its folder" in refusal(source, destination).message


def test_a_model_that_gives_no_answer_is_refused(tmp_path: Path, destination: Path) -> None:
    assert "Flummox" in refusal(onnx_models.unknown_operator(tmp_path / "a.onnx"), destination).message
    source = onnx_models.infinite(tmp_path / "b.onnx")
    error = refusal(source, destination, preprocessing={"height": 4, "width": 4})
    assert "NaN or infinity" in error.message


def test_a_file_that_is_whole_and_no_model_is_refused(tmp_path: Path, destination: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x09")
    assert "not a model ONNX Runtime can load" in refusal(tmp_path / "model.onnx", destination).message


def test_a_destination_that_is_there_is_left_as_it_is(tmp_path: Path, destination: Path) -> None:
    destination.mkdir(parents=True)
    (destination / "argosy.json").write_text('{"kept": true}')
    assert bring_in(onnx_models.doubling(tmp_path / "model.onnx"), destination) == {"kept": True}


def test_what_a_killed_import_left_is_removed(tmp_path: Path, destination: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = destination.with_name(f".model.{ended.pid}")
    left.mkdir(parents=True)
    (left / "model.onnx").write_text("half")
    bring_in(onnx_models.doubling(tmp_path / "model.onnx"), destination)


def test_a_source_that_changes_meanwhile_is_refused(tmp_path: Path, destination: Path) -> None:
    source = onnx_models.doubling(tmp_path / "model.onnx")

    def report(kind: str, body: Any) -> None:
        if body["message"].startswith("asking"):
            os.utime(source, ns=(1, 1))

    reporting.install(reporting.CurrentAttempt(report=report))
    try:
        error = refusal(source, destination)
    finally:
        reporting.install(None)
    assert isinstance(error, Conflict)
    assert "changed while it was imported" in error.message


def test_a_destination_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgosyError, match="can not be written: Not a directory"):
        main({
            "source": str(onnx_models.doubling(tmp_path / "model.onnx")),
            "destination": str(tmp_path / "file" / "model"),
            "name": "model",
        })  # fmt: skip


def test_a_disk_that_is_full_is_told_and_nothing_is_left(tmp_path: Path, destination: Path) -> None:
    source = onnx_models.with_data_beside(tmp_path / "source" / "large.onnx")
    code = (
        "import resource, signal, sys; from argosy.errors import Unavailable; "
        "from argosy.serve.models.importing import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: main({'source': sys.argv[1], 'destination': sys.argv[2], 'name': 'large'})\n"
        "except Unavailable as error: print(error.message)"
    )
    command = [sys.executable, "-c", code, str(source), str(destination)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"the disk of {destination.parent} is full: large is not imported\n"
    assert not list(destination.parent.iterdir())


def test_a_folder_that_can_not_be_copied_is_named(tmp_path: Path, destination: Path) -> None:
    source = onnx_models.classifier(tmp_path / "source")
    (source / "saved_model").mkdir()
    (source / "saved_model" / "saved_model.pb").symlink_to("nowhere")
    assert f"{source / 'saved_model'}" in refusal(source, destination).message


def test_an_import_starts_no_library_before_it_needs_one() -> None:
    code = (
        "import sys, argosy.serve.models.importing, argosy.serve.models.loading; "
        "print(sorted({'tensorflow', 'keras', 'onnx', 'onnxruntime', 'tf2onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def converted(start: int) -> Any:
    """A graph with a branch in it, whose names were counted from ``start``."""

    def branch(name: str, operator: str) -> Any:
        node = helper.make_node(operator, [f"hidden__{start}:0"], [f"{name}__{start + 1}:0"])
        output = helper.make_tensor_value_info(f"{name}__{start + 1}:0", TensorProto.FLOAT, None)
        return helper.make_graph([node], f"graph__{start}", [], [output])

    nodes = [
        helper.make_node("Add", ["x", f"const__{start}"], [f"hidden__{start}:0"], name=f"add__{start}"),
        helper.make_node(
            "If", ["flag"], ["y"], then_branch=branch("then", "Abs"), else_branch=branch("else", "Neg")
        ),
    ]
    constant = helper.make_tensor(f"const__{start}", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        nodes,
        f"graph {start}",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [constant],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_the_names_in_a_converted_graph_do_not_depend_on_when_it_was_converted(tmp_path: Path) -> None:
    models = [converted(3), converted(40)]
    assert models[0] != models[1]
    for model in models:
        onnx_names.make_stable(model)
        onnx.checker.check_model(model)
    assert models[0].SerializeToString() == models[1].SerializeToString()
    onnx.save(models[0], tmp_path / "model.onnx")
    x = np.array([2], np.float32)
    for flag, expected in ((True, 3), (False, -3)):
        answer = load(tmp_path).run({"x": x, "flag": np.array(flag)}, DEFAULT_SIGNATURE)
        assert answer["y"].tolist() == [expected]


def test_a_version_that_is_broken_can_not_be_imported(tmp_path: Path, destination: Path) -> None:
    onnx_models.doubling(tmp_path / "versions" / "1" / "model.onnx")
    (tmp_path / "versions" / "2").mkdir()
    error = refusal(tmp_path / "versions", destination, version=2)
    assert isinstance(error, InvalidInput)
    assert "version 2 of" in error.message
    assert "it is empty" in error.message
