"""A model server asked whatever its OpenAPI document allows, and what it does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from .harness import asynchronous
from .models import make_model
from .replicas import replica
from .strange_models import MODULE

pytestmark = pytest.mark.slow

EXAMPLES = 10


def _ask(operation: Any, base_url: str) -> Callable[[], None]:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        response = case.call(base_url=base_url, timeout=20)
        assert response.status_code < 500, (case.as_curl_command(), response.text)
        if response.status_code >= 400:
            assert {"error", "code"} <= response.json().keys()

    return ask


@pytest.mark.parametrize("module", [MODULE, "argosy.serve.model_server.replica"], ids=["tensors", "images"])
@asynchronous
async def test_nothing_that_is_sent_is_answered_with_a_failure(tmp_path: Path, module: str) -> None:
    directory = make_model(tmp_path / "model")
    async with replica(directory, tmp_path, module=module) as served:
        document = json.loads((await served.ask("GET", "/openapi.json")).body)
        operations = [one.ok() for one in schemathesis.openapi.from_dict(document).get_all_operations()]
        assert len(operations) == 19
        for operation in operations:
            await asyncio.to_thread(_ask(operation, f"http://127.0.0.1:{served.port}"))
        assert (await served.ask("GET", "/readyz")).status == 200
        assert "Traceback" not in served.log.read_text()
