"""Snapshots of users' code."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.control.sources import store_source
from argosy.errors import InvalidRequest
from argosy.flow.sources import snapshot_digest
from argosy.home import Home

FILES = {"flow.py": "import helpers.norm\n", "helpers/norm.py": "x = 'ü'\r\n", "helpers/__init__.py": ""}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.sources.mkdir()
    return home


def test_a_snapshot_holds_exactly_the_files_it_was_given(home: Home) -> None:
    folder = store_source(home, snapshot_digest(FILES), FILES)
    found = {
        str(path.relative_to(folder)): path.read_bytes().decode()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == FILES
    assert store_source(home, snapshot_digest(FILES), FILES) == folder
    assert [path.name for path in home.sources.iterdir()] == [folder.name]


@pytest.mark.parametrize("path", ["../escape.py", "/absolute.py", "a/../../b.py", ""])
def test_a_path_that_leaves_the_folder_is_refused_and_leaves_nothing(home: Home, path: str) -> None:
    files = {path: "x = 1"}
    with pytest.raises(InvalidRequest, match="not below the workflow's folder"):
        store_source(home, snapshot_digest(files), files)
    assert list(home.sources.iterdir()) == []


def test_files_that_are_not_those_of_the_digest_are_refused(home: Home) -> None:
    with pytest.raises(InvalidRequest, match="do not match the digest"):
        store_source(home, snapshot_digest({"other.py": ""}), FILES)
