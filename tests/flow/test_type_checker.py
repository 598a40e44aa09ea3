"""What mypy --strict says of workflows: the types that flow, and the mistakes it refuses.

One mypy process checks one file with every case. A line that ends in ``# E: text`` must have an error with
that text, every other line none.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import argosy

CASES = """
from typing import assert_type

import argosy as ar


@ar.step
def ingest(name: str) -> ar.Dataset:
    raise NotImplementedError


@ar.step(gang=ar.Gang(workers=2, min_workers=1), retry=ar.Retry(limit=3), memoize=ar.Memoize(max_age="14d"))
def train(data: ar.Dataset, architecture: str, epochs: int = 3) -> ar.Model:
    raise NotImplementedError


@ar.step
def select(candidates: list[ar.Model], top: int = 2) -> list[ar.Model]:
    raise NotImplementedError


@ar.step
def names(count: int) -> list[str]:
    raise NotImplementedError


@ar.step
def pack(tree: ar.FileTree, scale: float = 1) -> None:
    raise NotImplementedError


@ar.step
def ask(endpoint: ar.Endpoint) -> float:
    raise NotImplementedError


@ar.workflow
def types_flow(dataset: str = "a", epochs: int = 3) -> ar.Endpoint:
    data = ingest(dataset)
    assert_type(data, ar.Dataset)
    models = [train(data, architecture, epochs) for architecture in ("cnn", "dropout")]
    best = select(models)
    assert_type(best, list[ar.Model])
    assert_type(train.named("first")(data, "cnn"), ar.Model)
    sets = ingest.map(names(3))
    assert_type(sets, list[ar.Dataset])
    assert_type(train.map(sets, "cnn", epochs=3), list[ar.Model])
    assert_type(train.map(sets, architecture="cnn"), list[ar.Model])
    assert_type(ar.arriving(models), list[ar.Model])
    select(ar.arriving(models))
    pack(data)
    pack(models[0], scale=2)
    endpoint = ar.serve("fashion-mnist", best, replicas=(1, 4), aggregate="mean")
    assert_type(ask(endpoint), float)
    ar.serve("one", models, replicas=2)
    return endpoint


@ar.workflow(name="nightly")
def inlines() -> float:
    endpoint = types_flow("b", epochs=5)
    assert_type(endpoint, ar.Endpoint)
    types_flow(5)  # E: incompatible type "int"; expected "str"
    return ask(endpoint)


@ar.workflow
def is_refused() -> ar.Model:
    data = ingest("a")
    model = train(data, "cnn")
    models = [model]
    train(model, "cnn")  # E: incompatible type "Model"; expected "Dataset"
    train(data, 3)  # E: incompatible type "int"; expected "str"
    train(data, "cnn", epochs="3")  # E: incompatible type "str"; expected "int"
    train(data)  # E: Missing positional argument "architecture"
    train(data, "cnn", epoch=3)  # E: Unexpected keyword argument "epoch"
    train(data, "cnn", 3, 4)  # E: Too many arguments
    select(model)  # E: incompatible type "Model"; expected "list[Model]"
    select([data])  # E: incompatible type "Dataset"; expected "Model"
    select(ar.arriving([data]))  # E: incompatible type "Dataset"; expected "Model"
    train.map([model], "cnn")  # E: incompatible type "Model"; expected "Dataset"
    train.map(["a"], "cnn")  # E: incompatible type "str"; expected "Dataset"
    train.map(data, "cnn")  # E: incompatible type "Dataset"; expected "Sequence[Dataset]"
    train.map([data])  # E: Missing positional argument "architecture"
    train.map([data], "cnn", epoch=3)  # E: Unexpected keyword argument "epoch"
    ar.serve("a", [data])  # E: incompatible type "Dataset"; expected "ServableModel"
    ar.serve("a", model)  # E: incompatible type "Model"; expected "Sequence[ServableModel]"
    ar.serve("a", models, replicas=(1, 2, 3))  # E: expected "tuple[int, int] | int"
    ask(model)  # E: incompatible type "Model"; expected "Endpoint"
    pack("a")  # E: incompatible type "str"; expected "FileTree"
    model.accuracy  # E: has no attribute "accuracy"
    return select(models)  # E: Incompatible return value type


@ar.step(gang=2)  # E: No overload variant
def wrong_option() -> None: ...


@ar.step(timeout="30m", memory="2Gi")  # E: No overload variant
def unknown_option() -> None: ...


ar.Resources(cpu="500m", memory="2Gi", gpu=1)
ar.Resources(memory=2.5)  # E: incompatible type "float"
ar.Retry(limit="3")  # E: incompatible type "str"; expected "int"
"""


def test_mypy_lets_types_flow_and_refuses_every_mistake(tmp_path: Path) -> None:
    file = tmp_path / "cases.py"
    file.write_text(CASES)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    command += ["--config-file=", f"--cache-dir={tmp_path / 'cache'}", str(file)]
    source = str(Path(argosy.__file__).parents[1])
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "MYPYPATH": source}, check=False
    )
    found: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r".*cases\.py:(\d+): error: (.*)", line)
        if match:
            found.setdefault(int(match[1]), []).append(match[2])
    for number, line in enumerate(CASES.splitlines(), start=1):
        expected = line.partition("# E: ")[2]
        messages = found.pop(number, [])
        assert any(expected in message for message in messages) if expected else not messages, (
            f"line {number}: {line.strip()}\n{messages}\n{done.stderr}"
        )
    assert not found
