from __future__ import annotations

from pathlib import Path

import pytest

from argosy.artifacts.store import ArtifactStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path, scratch: Path) -> ArtifactStore:
    return ArtifactStore(root, scratch=scratch)
