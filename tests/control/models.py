"""The small models of the serve room's tests, which are another package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_FILE = Path(__file__).parents[1] / "serve" / "models.py"
_specification = importlib.util.spec_from_file_location("serve_test_models", _FILE)
assert _specification is not None
assert _specification.loader is not None
_models = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(_models)

expected = _models.expected
make_model = _models.make_model
pixels = _models.pixels
predict_body = _models.predict_body
