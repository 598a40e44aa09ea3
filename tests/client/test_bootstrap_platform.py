"""What the embedded engine asks of the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from argosy.client.bootstrap import ensure_control_plane
from argosy.errors import Unavailable
from argosy.home import Home


def test_another_system_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Unavailable, match="needs Linux, and this is darwin"):
        ensure_control_plane(Home(tmp_path / "home"))
    assert not (tmp_path / "home").exists()
