"""Quick tests first: what is broken shows before TensorFlow, Envoy or a control plane is started."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Speed is measured in bench/, on a machine that has nothing else to do.
settings.register_profile("argosy", deadline=None)
settings.load_profile("argosy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
