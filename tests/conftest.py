"""Quick tests first: what is broken shows before TensorFlow, Envoy or a control plane is started."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
