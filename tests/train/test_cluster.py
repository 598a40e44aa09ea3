"""A process's place in its gang, by TF_CONFIG; and what importing costs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from argosy.errors import InvalidRequest
from argosy.train.cluster import Membership


def place(cluster: Any, **task: Any) -> Membership:
    return Membership.from_environment({"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})})


def test_without_a_cluster_a_process_is_alone() -> None:
    assert Membership.from_environment({}) == Membership(0, 1)
    assert Membership.from_environment({"TF_CONFIG": "{}"}) == Membership(0, 1)


def test_workers_are_ranked_by_index() -> None:
    assert place({"worker": ["a:1", "b:1"]}, type="worker", index=1) == Membership(1, 2)
    assert place({"worker": ["a:1"]}, type="worker", index="0") == Membership(0, 1)


def test_a_chief_task_comes_before_the_workers() -> None:
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    assert place(cluster, type="chief", index=0) == Membership(0, 3)
    assert place(cluster, type="worker", index=1) == Membership(2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}, "task": {}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_malformed_cluster_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="TF_CONFIG"):
        Membership.from_environment({"TF_CONFIG": text})


def test_importing_the_rooms_loads_nothing_heavy() -> None:
    code = (
        "import sys; from argosy import data, train; "
        "heavy = {'numpy', 'PIL', 'tensorflow', 'keras', 'onnx', 'onnxruntime'} & set(sys.modules); "
        "import argosy.data.preprocessing, argosy.train.fitting, argosy.train.exporting; "
        "late = {'tensorflow', 'keras', 'onnx', 'onnxruntime'} & set(sys.modules); "
        "print(heavy | late)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
