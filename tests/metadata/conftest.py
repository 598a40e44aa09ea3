from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.metadata.store import MetadataStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "argosy.db"


@pytest.fixture
def store(path: Path) -> Iterator[MetadataStore]:
    opened = MetadataStore.open(path)
    yield opened
    opened.close()
