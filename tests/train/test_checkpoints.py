"""Checkpoints on disk, without TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from argosy.errors import Unavailable
from argosy.train.checkpoints import KEPT, Checkpoints, EpochRecord, Progress

IDENTITY = {"seed": 1}


def arrays_of(step: int) -> dict[str, np.ndarray]:
    return {"model.0": np.full((3, 4), step, np.float32), "optimizer.0": np.array(step, np.int64)}


def saved(directory: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(directory)
    for step in steps:
        checkpoints.save(step, Progress(epoch=step // 10, step=step % 10), arrays_of(step), IDENTITY)
    return checkpoints


def test_the_newest_state_comes_back_whole(tmp_path: Path) -> None:
    record_of_epoch = EpochRecord(1, 0.5, 0.8, 0.6, 0.7, 12.0)
    progress = Progress(1, 2, 0.25, 1.5, 9.0, 640, 3.0, (record_of_epoch,))
    checkpoints = saved(tmp_path / "checkpoints", 5)
    checkpoints.save(12, progress, arrays_of(12), IDENTITY)
    found = checkpoints.latest()
    assert found is not None
    record, arrays = found
    assert (record.global_step, record.progress, record.identity) == (12, progress, IDENTITY)
    for name, array in arrays_of(12).items():
        assert np.array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_none_is_there_before_the_first(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nothing").latest() is None


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, *range(1, 30, 3))
    assert len(list(tmp_path.iterdir())) == KEPT == 2


@pytest.mark.parametrize("file", ["arrays.npz", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "missing"])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, file: str, damage: str) -> None:
    checkpoints = saved(tmp_path, 11, 12)
    newest = max(tmp_path.iterdir()) / file
    content = newest.read_bytes()
    if damage == "missing":
        newest.unlink()
    else:
        at = len(content) // 2 if file == "arrays.npz" else content.index(b"sha256") + 12
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        newest.write_bytes({"cut": content[:-1], "flipped": flipped, "empty": b""}[damage])
    found = checkpoints.latest()
    assert found is not None
    assert found[0].global_step == 11


def test_only_torn_ones_are_none(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 11, 12)
    for path in tmp_path.glob("*/arrays.npz"):
        path.write_bytes(b"")
    assert checkpoints.latest() is None


WRITER = """
import sys, numpy as np
from pathlib import Path
from argosy.train.checkpoints import Checkpoints, Progress
for step in (1, 2, 3):
    arrays = {"a": np.full(1000, step)}
    Checkpoints(Path(sys.argv[1])).save(step, Progress(0, step), arrays, {})
"""


@pytest.mark.parametrize("point", ["checkpoint-arrays-written", "checkpoint-before-rename"])
def test_a_writer_killed_anywhere_leaves_a_whole_checkpoint_and_the_next_one_tidies_up(
    tmp_path: Path, point: str
) -> None:
    environment = os.environ | {"ARGOSY_CRASH_POINT": f"{point}:3"}
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], env=environment)
    assert done.returncode == -9
    assert list(tmp_path.glob("partial-*"))
    found = Checkpoints(tmp_path).latest()
    assert found is not None
    assert found[0].global_step == 2
    saved(tmp_path, 30)
    assert not list(tmp_path.glob("partial-*"))


def test_a_folder_that_can_not_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="checkpoint can not be written"):
        saved(tmp_path / "file" / "checkpoints", 1)
