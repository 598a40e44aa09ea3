"""Temporary homes, one a test or one a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "home")
    yield world
    world.end_everything()


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One home for a file's tests, which must leave nothing in it."""
    world = World(tmp_path_factory.mktemp("shared") / "home")
    yield world
    world.end_everything()
